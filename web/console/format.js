// Times, lists and states as people read them.

import { badge, h } from "./dom.js";

const DAY = 86400;
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const number = new Intl.NumberFormat();

export function count(value) {
  return number.format(value);
}

/** Seconds since the Unix epoch, in the reader's time zone; UTC when pointed at. */
export function time(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const moment = new Date(seconds * 1000);
  return h("time", { datetime: moment.toISOString(), title: moment.toISOString() }, date.format(moment));
}

/** Milliseconds since the Unix epoch, to the second. */
export function timeMillis(millis) {
  const moment = new Date(millis);
  return h("time", { datetime: moment.toISOString(), title: moment.toISOString() }, exact.format(moment));
}

/** "in 3 days", "2 hours ago". */
export function distance(seconds) {
  const away = seconds - Date.now() / 1000;
  const [unit, size] =
    Math.abs(away) >= DAY ? ["day", DAY] : Math.abs(away) >= 3600 ? ["hour", 3600] : ["minute", 60];
  return relative.format(Math.round(away / size), unit);
}

/** An end, with a warning when it is near. */
export function end(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  const away = seconds - Date.now() / 1000;
  const near = away > 0 && away < 30 * DAY;
  return [time(seconds), " ", near ? badge(distance(seconds), away < 7 * DAY ? "bad" : "warn") : null];
}

/** Where a credential stands: keys and secrets say `status`, certificates `state`. */
export function status(item) {
  const text = item.status ?? item.state;
  const good = text === "active" || text === "issued";
  const bad = text === "revoked" || text === "orphaned";
  const reason = item.revocation_reason ?? item.reason;
  return [badge(text === "issued" ? "good" : text, good ? "good" : bad ? "bad" : "plain"), reason ? ` ${reason}` : null];
}

export function enabled(item) {
  return item.enabled ? badge("enabled", "good") : badge("disabled", "bad");
}

/** Scopes or networks, one a line. null does not narrow. */
export function list(values, none) {
  if (values === null || values === undefined || values.length === 0) return none;
  return h("ul", { class: "plain" }, values.map((value) => h("li", {}, h("code", {}, value))));
}

/** A long id, cut in the middle of the screen but not of the clipboard. */
export function id(text) {
  return h("code", { class: "id", title: text }, text);
}

export function outcome(row) {
  return row.outcome === "allowed" ? badge("allowed", "good") : badge(row.outcome, "bad");
}
