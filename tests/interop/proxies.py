"""The configurations of the proxies in front, and the policy behind them. The parts that users take are the files in deploy/."""

SETTINGS = """
[[forward_auth]]
name = "edge"
dialects = ["{dialect}"]
client = "edge"
hostnames = ["127.0.0.1", "api.example.com"]
client_certificate = "{certificate}"
request_ids = {request_ids}
"""

NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 128; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream portcullis {{ server {gate}; keepalive 4; }}
    include portcullis/http.conf;
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name api.example.com;
        ssl_certificate server.crt;
        ssl_certificate_key server.key;
        ssl_verify_client optional_no_ca;
        include portcullis/server.conf;
        location / {{
            include portcullis/guard.conf;
            proxy_pass {upstream};
        }}
    }}
}}
"""

CADDY = """
{{
    admin off
    auto_https off
    skip_install_trust
    storage file_system {folder}/storage
}}
import portcullis.caddy
https://127.0.0.1:{port}, https://api.example.com:{port} {{
    tls server.crt server.key {{
        client_auth {{
            mode request
        }}
    }}
    route {{
        import portcullis {gate} localhost
        reverse_proxy {upstream}
    }}
}}
"""

TRAEFIK = """
log: {{ level: INFO }}
global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
entryPoints:
  edge: {{ address: "127.0.0.1:{port}" }}
providers:
  file: {{ directory: {folder}/dynamic, watch: false }}
"""

TRAEFIK_ROUTER = """
http:
  routers:
    api:
      rule: "HostRegexp(`.*`)"
      entryPoints: [edge]
      middlewares: [portcullis-clean, portcullis, portcullis-after]
      service: api
      tls: {{}}
  services:
    api: {{ loadBalancer: {{ servers: [{{ url: "{upstream}" }}] }} }}
tls:
  stores:
    default: {{ defaultCertificate: {{ certFile: {folder}/server.crt, keyFile: {folder}/server.key }} }}
"""

ENVOY = """
static_resources:
  listeners:
    - name: edge
      address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
      filter_chains:
        - transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              require_client_certificate: false
              common_tls_context:
                tls_certificates:
                  - {{ certificate_chain: {{ filename: server.crt }}, private_key: {{ filename: server.key }} }}
                validation_context: {{ trusted_ca: {{ filename: portcullis/ca.pem }}, trust_chain_verification: ACCEPT_UNTRUSTED }}
          filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: edge
                use_remote_address: true
                forward_client_cert_details: SANITIZE_SET
                set_current_client_cert_details: {{ cert: true, chain: true }}
                route_config:
                  virtual_hosts:
                    - {{ name: api, domains: ["*"], routes: [{{ match: {{ prefix: "/" }}, route: {{ cluster: api }} }}] }}
                http_filters:
{filters}
                  - name: envoy.filters.http.router
                    typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
    - name: api
      type: STATIC
      load_assignment:
        cluster_name: api
        endpoints:
          - lb_endpoints:
              - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {upstream} }} }} }}
{clusters}
"""

POLICY = """
[[usage_plan]]
name = "narrow"
throttle = {{ rate = 0.02, burst = 5 }}

[[client]]
id = "narrow"
partner = "acme"
scopes = ["{scope}"]
usage_plan = "narrow"

[[usage_plan]]
name = "roomy"
throttle = {{ rate = 100, burst = 100 }}

[[client]]
id = "roomy"
partner = "acme"
scopes = ["{scope}"]
usage_plan = "roomy"

[[client]]
id = "elsewhere"
partner = "acme"
scopes = ["{scope}"]
networks = ["elsewhere"]

[[network]]
name = "elsewhere"
cidrs = ["203.0.113.0/24"]

[[route]]
methods = ["GET", "POST"]
path = "/orders/{{id}}"
accept = [["mutual_tls"], ["api_key"], ["bearer"]]
scopes = {{ any = ["{scope}"] }}
action = {{ mock = {{ status = 204, body = "" }} }}

[[route]]
methods = ["GET"]
path = "/aws/{{id}}"
errors = "aws"
accept = [["bearer"]]
scopes = {{ any = ["{scope}"] }}
action = {{ mock = {{ status = 204, body = "" }} }}

[[route]]
methods = ["GET"]
path = "/open"
public = true
action = {{ mock = {{ status = 204, body = "" }} }}
"""
