// The admin API. The browser proves itself with its client certificate; the console holds no secret.

/** An answer that is not a success, as problem details (RFC 9457). status 0: no answer. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? body.message ?? `The server answered ${status}.`);
    this.status = status;
    this.code = body.code ?? "";
    this.details = body.details ?? [];
    this.decision = body.decision_id ?? null;
  }
}

async function call(method, path, body) {
  const request = { method, credentials: "same-origin", cache: "no-store", headers: { accept: "application/json" } };
  if (body !== undefined) {
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new Problem(0, { message: "The server cannot be reached, or it closed the connection: a certificate that it does not take ends there." });
  }
  const text = await response.text();
  let answer = {};
  try {
    answer = text === "" ? {} : JSON.parse(text);
  } catch {
    if (response.ok) throw new Problem(response.status, { message: "The server's answer is not JSON." });
  }
  if (!response.ok) throw new Problem(response.status, answer);
  return answer;
}

/** query: an object; what is null, undefined, false or "" is left out. */
export function get(path, query = {}) {
  const wanted = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  const search = new URLSearchParams(wanted).toString();
  return call("GET", search === "" ? path : `${path}?${search}`);
}

export function post(path, body = {}) {
  return call("POST", path, body);
}

/** One part of a path: ids are data, also when they hold a slash. */
export function part(id) {
  return encodeURIComponent(id);
}

/** Every item of a list, at most `limit`. */
export async function all(path, query = {}, limit = 1000) {
  const items = [];
  let after = null;
  do {
    const page = await get(path, { ...query, limit: Math.min(limit - items.length, 1000), after });
    items.push(...page.items);
    after = page.next;
  } while (after !== null && items.length < limit);
  return items;
}
