//! One row per rule: what was typed below [`BASE`](super::BASE), whose five lines come first, and
//! what is said of it.

pub(super) const ROWS: &[(&str, &str)] = &[
    // Shape.
    (
        "x",
        "edge.toml:6:2: not TOML: key with no value, expected `=`\n  \
          remedy: correct the line; strings stand in double quotes",
    ),
    (
        "[server]\nworkers = 1\nworkers = 2",
        "edge.toml:8:1: not TOML: duplicate key\n  \
          remedy: correct the line; strings stand in double quotes",
    ),
    (
        "[server]\nwokers = 1",
        "edge.toml:7:1: server.wokers: unknown key\n  \
          remedy: did you mean server.workers?",
    ),
    (
        "[server]\nhosts = []",
        "edge.toml:7:1: server.hosts: unknown key\n  \
          remedy: did you mean site.hosts?",
    ),
    (
        "[admin]\ncolour = 1",
        "edge.toml:7:1: admin.colour: unknown key\n  \
          remedy: remove it; known here: address, token",
    ),
    (
        "[srv]",
        "edge.toml:6:2: srv: unknown key\n  \
          remedy: remove it; known here: server, listener, store, limits, site, admin, \
             access_log, log",
    ),
    (
        "[[site]]\norigni = {}",
        "edge.toml:7:1: site.origni: unknown key\n  \
          remedy: did you mean site.origin?",
    ),
    (
        "[[server]]",
        "edge.toml:6:3: server: must be a table\n  \
          remedy: write it as [table] with keys below",
    ),
    (
        "[server]\nworkers = \"4\"",
        "edge.toml:7:11: server.workers: \
          needs a number without quotes, found text\n  remedy: write a number without quotes",
    ),
    (
        "[store]\nsize = true",
        "edge.toml:7:8: store.size: \
          needs a size such as \"1GiB\", found true or false\n  \
          remedy: write a size such as \"1GiB\"",
    ),
    (
        "[store]\npath = [\"a\"]",
        "edge.toml:7:8: store.path: \
          needs text in double quotes, found a list\n  remedy: write text in double quotes",
    ),
    (
        "[store]\npath = \"\"",
        "edge.toml:7:8: store.path: is empty\n  \
          remedy: say at least one",
    ),
    // Units and bounds.
    (
        "[store]\nsize = 100",
        "edge.toml:7:8: store.size: 100 has no unit\n  \
          remedy: write it like \"1GiB\"",
    ),
    (
        "[store]\nsize = \"100\"",
        "edge.toml:7:8: store.size: \"100\" has no unit\n  \
          remedy: write it like \"1GiB\"",
    ),
    (
        "[store]\nsize = \"1G\"",
        "edge.toml:7:8: store.size: \"1G\" has an unknown unit\n  \
          remedy: write it like \"1GiB\"",
    ),
    (
        "[store]\nsize = \"big\"",
        "edge.toml:7:8: store.size: \
          \"big\" has no whole number before its unit\n  remedy: write it like \"1GiB\"",
    ),
    (
        "[store]\nsize = \"99999999999TiB\"",
        "edge.toml:7:8: store.size: \
          \"99999999999TiB\" is beyond all bounds\n  remedy: write it like \"1GiB\"",
    ),
    (
        "[store]\nsize = \"0B\"",
        "edge.toml:7:8: store.size: \
          \"0B\" is below the least, \"16MiB\"\n  remedy: use \"16MiB\" or more",
    ),
    (
        "[store]\nsize = \"65TiB\"",
        "edge.toml:7:8: store.size: \
          \"65TiB\" is above the greatest, \"64TiB\"\n  remedy: use \"64TiB\" or less",
    ),
    (
        "[server]\nworkers = 0",
        "edge.toml:7:11: server.workers: 0 is below the least, 1\n  \
          remedy: use 1 or more",
    ),
    (
        "[server]\nworkers = -1",
        "edge.toml:7:11: server.workers: -1 is below the least, 1\n  \
          remedy: use 1 or more",
    ),
    (
        "[limits]\nhead_timeout = \"10\"",
        "edge.toml:7:16: limits.head_timeout: \
          \"10\" has no unit\n  remedy: write it like \"10s\"",
    ),
    (
        "[limits]\nbody_rate_min = \"1KiB\"",
        "edge.toml:7:17: limits.body_rate_min: \
          \"1KiB\" has an unknown unit\n  remedy: write it like \"1KiB/s\"",
    ),
    // What this build lacks.
    (
        "[server]\ntransport = \"kqueue\"",
        "edge.toml:7:13: server.transport: \
          \"kqueue\" is not known\n  remedy: use one of: auto, uring, epoll",
    ),
    // Listeners.
    (
        "[[listener]]\naddress = \"127.0.0.1:8443\"\n\
             tls = { certificate = \"no/c\", key = \"/dev/null\" }",
        "edge.toml:8:23: listener.tls.certificate: cannot be read: entity not found\n  \
          remedy: name a file that this user may read",
    ),
    (
        "[[listener]]\naddress = \"127.0.0.1:8443\"\ntls = { key = \"/dev/null\" }",
        "edge.toml:8:7: listener.tls.certificate: must be set\n  \
          remedy: add it; `edge check --help` shows all keys",
    ),
    (
        "[[listener]]\naddress = \"127.0.0.1:8443\"\n[listener.tls]\nkey = \"/dev/null\"\n\
             [[listener.tls.certificates]]\ncertificate = \"/dev/null\"\nkey = \"/dev/null\"",
        "edge.toml:9:7: listener.tls.key: contradicts listener.tls.certificates in line 10\n  \
          remedy: remove it, or listener.tls.certificates",
    ),
    (
        "[[listener]]\naddress = \"127.0.0.1:8443\"\n[listener.tls]\nclient_auth = \"required\"\n\
             certificate = \"/dev/null\"\nkey = \"/dev/null\"",
        "edge.toml:9:15: listener.tls.client_auth: means nothing without listener.tls.client_ca\n  \
          remedy: add listener.tls.client_ca, or remove it",
    ),
    (
        "[[listener]]\naddress = \"127.0.0.1:8443\"\n\
             tls = { certificate = \"/dev/null\", key = \"/dev/null\" }",
        "edge.toml:8:7: listener.tls: /dev/null: no certificate in it\n  \
          remedy: name PEM files of a certificate chain and of its key, and a DER file of its \
          OCSP response",
    ),
    (
        "[[listener]]\naddress = \"127.0.0.1:81\"\nredirect = \"https://{port}\"",
        "edge.toml:8:12: listener.redirect: \
          \"https://{port}\" is not a URL that a redirect can name\n  \
          remedy: write it like \"https://{name}{path}{query}\"",
    ),
    (
        "[[listener]]\naddress = \"127.0.0.1:8443\"\ntls = { certificat = \"c\" }",
        "edge.toml:8:9: listener.tls.certificat: unknown key\n  \
          remedy: did you mean listener.tls.certificate?",
    ),
    (
        "[[listener]]",
        "edge.toml:6:1: listener.address: must be set\n  \
          remedy: add it; `edge check --help` shows all keys",
    ),
    (
        "[[listener]]\naddress = \"localhost:80\"",
        "edge.toml:7:11: listener.address: \
          \"localhost:80\" is no IP address with a port\n  \
          remedy: write it like \"127.0.0.1:8080\" or \"[::]:80\"",
    ),
    (
        "[[listener]]\naddress = \"127.0.0.1:8080\"",
        "edge.toml:7:11: listener.address: \
          127.0.0.1:8080 stands already in line 2\n  remedy: remove one of the two",
    ),
    // Sites.
    (
        "[[site]]\nhosts = [\"a.example\"]",
        "edge.toml:6:1: site.origin.urls: must be set\n  \
          remedy: add it; `edge check --help` shows all keys",
    ),
    (
        "[[site]]\nhosts = [\"a.example\"]\norigin = {}",
        "edge.toml:8:10: site.origin.urls: \
          must be set\n  remedy: add it; `edge check --help` shows all keys",
    ),
    (
        "[[site]]\norigin = { urls = [\"http://a\"] }",
        "edge.toml:6:1: site.hosts: \
          must be set\n  remedy: add it; `edge check --help` shows all keys",
    ),
    (
        "[[site]]\nhosts = []\norigin = { urls = [\"http://a\"] }",
        "edge.toml:7:9: site.hosts: is empty\n  remedy: say at least one",
    ),
    (
        "[[site]]\nhosts = \"a\"\norigin = { urls = [\"http://a\"] }",
        "edge.toml:7:9: site.hosts: needs a list such as [\"…\"], found text\n  \
          remedy: write a list such as [\"…\"]",
    ),
    (
        "[[site]]\nhosts = [\"a.example\", \"a.example:80\"]\n\
             origin = { urls = [\"http://a\"] }",
        "edge.toml:7:23: site.hosts: \"a.example:80\" is no host name or pattern\n  \
          remedy: write it like \"www.example.com\", \"*.example.com\" or \"*\", without a port",
    ),
    (
        "[[site]]\nhosts = [\"*\"]\norigin = { urls = [\"http://a\"] }",
        "edge.toml:7:10: site.hosts: * stands already in line 4\n  \
          remedy: remove one of the two",
    ),
    (
        "[[site]]\nhosts = [\"a.example\", \"A.EXAMPLE\"]\norigin = { urls = [\"http://a\"] }",
        "edge.toml:7:23: site.hosts: a.example stands already in line 7\n  \
          remedy: remove one of the two",
    ),
    (
        "[[site]]\nhosts = [\"a\"]\n\
         origin = { urls = [\"http://a\"], source_addresses = [\"127.0.0.1\", \"a:80\"] }",
        "edge.toml:8:66: site.origin.source_addresses: \"a:80\" is no IP address\n  \
          remedy: write it like \"192.0.2.7\", without a port",
    ),
    (
        "[[site]]\nhosts = [\"a\"]\n\
         origin = { urls = [\"http://a\"], source_addresses = [\"127.0.0.1\", \"192.0.2.7\"] }",
        "edge.toml:8:66: site.origin.source_addresses: 192.0.2.7 cannot be connected from: \
          Cannot assign requested address (os error 99)\n  \
          remedy: name one that `ip address` lists on this host",
    ),
    (
        "[[site]]\nhosts = [\"a\"]\n\
         origin = { urls = [\"http://[::1]:80\"], source_addresses = [\"127.0.0.1\"] }",
        "edge.toml:8:60: site.origin.source_addresses: 127.0.0.1 is IPv4, and all of the site's \
          urls are IPv6\n  remedy: remove it, or name a url that it can reach",
    ),
    (
        "[[site]]\nhosts = [\"a\"]\n\
         origin = { urls = [\"http://127.0.0.1\"], source_addresses = [\"2001:db8::7\"] }",
        "edge.toml:8:61: site.origin.source_addresses: 2001:db8::7 is IPv6, and all of the site's \
          urls are IPv4\n  remedy: remove it, or name a url that it can reach",
    ),
    (
        "[[site]]\nhosts = [\"a\"]\norigin = { urls = [\"http://a/b\"] }",
        "edge.toml:8:20: site.origin.urls: \"http://a/b\" is no URL of an origin\n  \
          remedy: write it like \"http://127.0.0.1:9000\": scheme, host and port, without a path",
    ),
    (
        "[[site]]\nhosts = [\"a\"]\norigin = { urls = [\"http://a\", \"http://A:80/\"] }",
        "edge.toml:8:32: site.origin.urls: http://a stands already in line 8\n  \
          remedy: remove one of the two",
    ),
    (
        "[[site]]\nhosts = [\"a\"]\norigin = { urls = [\"http://a\"], ca = \"ca.pem\" }",
        "edge.toml:8:38: site.origin.ca: none of the site's urls is https\n  \
          remedy: remove ca, or use an https:// url",
    ),
    (
        "[[site]]\nhosts = [\"a\"]\norigin = { urls = [\"https://a\"], ca = \"none.pem\" }",
        "edge.toml:8:39: site.origin.ca: cannot be read: entity not found\n  \
          remedy: name a file that this user may read",
    ),
    // Admin.
    (
        "[admin]\naddress = \"9900\"",
        "edge.toml:7:11: admin.address: \
          \"9900\" is neither an IP address with a port nor a unix socket\n  \
          remedy: write it like \"127.0.0.1:9900\" or \"unix:/run/longhold.sock\"",
    ),
    (
        "[admin]\naddress = \"0.0.0.0:9900\"",
        "edge.toml:7:11: admin.address: \
          others than this machine could reach it, and there is no token\n  \
          remedy: set admin.token, or use 127.0.0.1",
    ),
    (
        "[admin]\ntoken = \"short\"",
        "edge.toml:7:9: admin.token: is no token\n  \
          remedy: use 16 to 256 visible ASCII characters without spaces",
    ),
    (
        "[admin]\naddress = \"127.0.0.1:8080\"",
        "edge.toml:7:11: admin.address: \
          127.0.0.1:8080 stands already in line 2\n  remedy: remove one of the two",
    ),
    (
        "[access_log]\nformat = \"xml\"",
        "edge.toml:7:10: access_log.format: \
          \"xml\" is not known\n  remedy: use one of: json, text",
    ),
    // Relations.
    (
        "[server]\nworkers = 100\nmax_connections = 64",
        "edge.toml:8:19: \
          server.max_connections: fewer connections than the 100 workers\n  \
          remedy: raise it, or lower server.workers",
    ),
    (
        "[store]\nsize = \"256MiB\"\nsegment = \"64MiB\"",
        "edge.toml:8:11: store.segment: \
          fewer than 8 segments fit a device of 256MiB\n  \
          remedy: remove it, or make the device larger",
    ),
    (
        "[store]\ndevices = [{ path = \"a\", size = \"1GiB\" }, { path = \"b\", \
          size = \"128MiB\" }]\nsegment = \"64MiB\"",
        "edge.toml:8:11: store.segment: \
          fewer than 8 segments fit a device of 128MiB\n  \
          remedy: remove it, or make the device larger",
    ),
    (
        "[store]\npath = \"a\"\nsize = \"1GiB\"\n\
          [[store.devices]]\npath = \"b\"\nsize = \"1GiB\"",
        "edge.toml:9:1: store.devices: \
          the store is named already, by store.path in line 7\n  \
          remedy: remove store.path; each device in the list has a path and a size\n\
         edge.toml:9:1: store.devices: \
          the store is named already, by store.size in line 8\n  \
          remedy: remove store.size; each device in the list has a path and a size",
    ),
    (
        "[store]\ndevices = [{ path = \"a\" }, { size = \"1GiB\" }]",
        "edge.toml:7:12: store.devices.size: must be set\n  \
          remedy: add it; `edge check --help` shows all keys\n\
         edge.toml:7:28: store.devices.path: must be set\n  \
          remedy: add it; `edge check --help` shows all keys",
    ),
    (
        "[store]\ndevices = [{ path = \"a\", size = \"1GiB\" }, { path = \"./a\", \
          size = \"1GiB\" }]",
        "edge.toml:7:52: store.devices.path: /etc/longhold/./a stands already in line 7\n  \
          remedy: remove one of the two",
    ),
    (
        "[store]\ndevice = []",
        "edge.toml:7:1: store.device: unknown key\n  remedy: did you mean store.devices?",
    ),
    (
        "[store]\ndevices = \"a\"",
        "edge.toml:7:1: store.devices: must be a table that may repeat\n  \
          remedy: write it as [[table]] with keys below",
    ),
    (
        "[store]\nmemory = \"64KiB\"",
        "edge.toml:7:10: store.memory: \"64KiB\" is below the least, \"1MiB\"\n  \
          remedy: use \"1MiB\" or more",
    ),
    (
        "[store]\nsegment = \"1500KiB\"",
        "edge.toml:7:11: store.segment: \
          is not a whole number of MiB\n  remedy: write it like \"64MiB\"",
    ),
    (
        "[limits]\nobject_max = \"129MiB\"\n[store]\nsize = \"256MiB\"",
        "edge.toml:7:14: limits.object_max: \
          an object could be larger than half of the largest device, 128MiB\n  \
          remedy: make it smaller, or a device larger",
    ),
    (
        "[store]\nsize = \"2TiB\"\nsegment = \"1MiB\"",
        "edge.toml:8:11: store.segment: more than 1048576 segments make a store of 2TiB\n  \
             remedy: remove it, or make the store smaller",
    ),
    (
        "[limits]\ndownload_window = \"2MiB\"\nstaging_max = 4",
        "edge.toml:7:19: limits.download_window: one window is larger than all staging blocks \
             together, 1MiB\n  remedy: make it smaller, or raise limits.staging_max",
    ),
    (
        "[limits]\nhead_max = \"4KiB\"\ntarget_max = \"5KiB\"",
        "edge.toml:8:14: \
          limits.target_max: a target could be larger than a head of 4KiB\n  \
          remedy: make it smaller, or limits.head_max larger",
    ),
    // Rules.
    (
        "[[site.rule]]\nfreshnes = 1\n[site.defaults]\npth = 1",
        "edge.toml:7:1: site.rule.freshnes: unknown key\n  \
          remedy: did you mean site.rule.freshness?\n\
         edge.toml:9:1: site.defaults.pth: unknown key\n  \
          remedy: did you mean site.rule.path?",
    ),
    (
        "[site.rule]\nbypass = true",
        "edge.toml:6:7: site.rule: must be a table that may repeat\n  \
          remedy: write it as [[table]] with keys below",
    ),
    (
        "[site.defaults]\npath = [\"/\"]\nbypass = 1",
        "edge.toml:7:8: site.defaults.path: defaults hold for every request\n  \
          remedy: remove it, or write a [[site.rule]]\n\
         edge.toml:8:10: site.defaults.bypass: needs true or false, found a number\n  \
          remedy: write true or false",
    ),
    (
        "[[site.rule]]\npath = [\"a\", \"/%41\", \"/a?b\", \"/a/../b\"]\nmethods = [\"GE T\"]",
        "edge.toml:7:9: site.rule.path: \"a\" is not a path pattern in its normal form\n  \
          remedy: write it like \"/static/*\"\n\
         edge.toml:7:14: site.rule.path: \"/%41\" is not a path pattern in its normal form\n  \
          remedy: write it like \"/static/*\"\n\
         edge.toml:7:22: site.rule.path: \"/a?b\" is not a path pattern in its normal form\n  \
          remedy: write it like \"/static/*\"\n\
         edge.toml:7:30: site.rule.path: \"/a/../b\" is not a path pattern in its normal form\n  \
          remedy: write it like \"/static/*\"\n\
         edge.toml:8:12: site.rule.methods: \"GE T\" is not a method\n  \
          remedy: write it like \"GET\"",
    ),
    (
        "[[site.rule]]\npath = [\"/a/*\"]\n[[site.rule]]\npath = [\"/a/b\"]",
        "edge.toml:8:1: [[site.rule]]: \
          never holds: the rule in line 6 matches all that it matches\n  \
          remedy: put it before that one, or remove it",
    ),
    (
        "[[site.rule]]\nbypass = true\ngrace = \"1m\"\nquery = \"none\"",
        "edge.toml:8:9: site.rule.grace: contradicts site.rule.bypass in line 7\n  \
          remedy: remove it, or site.rule.bypass\n\
         edge.toml:9:9: site.rule.query: contradicts site.rule.bypass in line 7\n  \
          remedy: remove it, or site.rule.bypass",
    ),
    (
        "[[site.rule]]\nredirect = \"/a\"\nrequest_set = [\"A: b\"]",
        "edge.toml:8:15: site.rule.request_set: contradicts site.rule.redirect in line 7\n  \
          remedy: remove it, or site.rule.redirect",
    ),
    (
        "[[site.rule]]\nredirect = \"{path}\"\nredirect_status = 304",
        "edge.toml:7:12: site.rule.redirect: \"{path}\" is not a URL that a redirect can name\n  \
          remedy: write it like \"https://www.example.com{path}{query}\"\n\
         edge.toml:8:19: site.rule.redirect_status: \
          304 is not a status with which to redirect\n  remedy: write it like 302",
    ),
    (
        "[[site.rule]]\nredirect_status = 301\ncompress_min = \"1KiB\"",
        "edge.toml:7:19: site.rule.redirect_status: means nothing without site.rule.redirect\n  \
          remedy: add site.rule.redirect, or remove it\n\
         edge.toml:8:16: site.rule.compress_min: means nothing without site.rule.compress\n  \
          remedy: add site.rule.compress, or remove it",
    ),
    (
        "[[site.rule]]\nfreshness = \"override\"",
        "edge.toml:7:13: site.rule.freshness: means nothing without site.rule.lifetime\n  \
          remedy: add site.rule.lifetime, or remove it",
    ),
    (
        "[[site.rule]]\nfreshness = \"ignore\"\nlifetime = \"1h\"\ngrace = \"1m\"",
        "edge.toml:8:12: site.rule.lifetime: contradicts site.rule.freshness in line 7\n  \
          remedy: remove it, or site.rule.freshness\n\
         edge.toml:9:9: site.rule.grace: contradicts site.rule.freshness in line 7\n  \
          remedy: remove it, or site.rule.freshness",
    ),
    // What a rule inherits counts as its own.
    (
        "[site.defaults]\nlifetime = \"1h\"\nfreshness = \"default\"\n\
         [[site.rule]]\nfreshness = \"origin\"\n[[site.rule]]\npath = [\"/x\"]",
        "edge.toml:11:1: [[site.rule]]: \
          never holds: the rule in line 9 matches all that it matches\n  \
          remedy: put it before that one, or remove it",
    ),
    (
        "[site.defaults]\nbypass = true\n[[site.rule]]\nkey_cookies = [\"a\"]",
        "edge.toml:9:15: site.rule.key_cookies: contradicts site.rule.bypass in line 7\n  \
          remedy: remove it, or site.rule.bypass",
    ),
    (
        "[[site.rule]]\nquery = \"only\"\n[[site.rule]]\npath = [\"/x\"]\nquery_fields = [\"a&b\"]",
        "edge.toml:7:9: site.rule.query: means nothing without site.rule.query_fields\n  \
          remedy: add site.rule.query_fields, or remove it\n\
         edge.toml:8:1: [[site.rule]]: \
          never holds: the rule in line 6 matches all that it matches\n  \
          remedy: put it before that one, or remove it\n\
         edge.toml:10:16: site.rule.query_fields: means nothing without site.rule.query\n  \
          remedy: add site.rule.query, or remove it\n\
         edge.toml:10:17: site.rule.query_fields: \"a&b\" is not the name of a query field\n  \
          remedy: write it like \"utm_*\"",
    ),
    (
        "[[site.rule]]\nrequest_remove = [\"Host\", \"TE\", \"Cookie\"]\n\
          request_set = [\"cookie: a\", \"X: a\\r\\nY: b\"]\n\
          key_cookies = [\"a\"]\nkey_fields = [\"Cookie\"]",
        "edge.toml:7:19: site.rule.request_remove: Host is the edge's own to write\n  \
          remedy: remove it from the list\n\
         edge.toml:7:27: site.rule.request_remove: TE is the edge's own to write\n  \
          remedy: remove it from the list\n\
         edge.toml:8:16: site.rule.request_set: \
          contradicts site.rule.request_remove in line 7\n  \
          remedy: remove it, or site.rule.request_remove\n\
         edge.toml:8:29: site.rule.request_set: \"X: a\\r\\nY: b\" is not a field line\n  \
          remedy: write it like \"X-Edge: longhold\"\n\
         edge.toml:9:15: site.rule.key_cookies: \
          contradicts site.rule.request_remove in line 7\n  \
          remedy: remove it, or site.rule.request_remove\n\
         edge.toml:10:15: site.rule.key_fields: \
          contradicts site.rule.request_remove in line 7\n  \
          remedy: remove it, or site.rule.request_remove\n\
         edge.toml:10:15: site.rule.key_fields: contradicts site.rule.request_set in line 8\n  \
          remedy: remove it, or site.rule.request_set",
    ),
    (
        "[[site.rule]]\ncompress = [\"br\", \"none\"]\nobject_max = \"2GiB\"",
        "edge.toml:7:19: site.rule.compress: \"none\" is not a coding that can be applied\n  \
          remedy: write it like \"br\"\n\
         edge.toml:8:14: site.rule.object_max: \
          more than limits.object_max, which is 512MiB\n  \
          remedy: make it smaller, or limits.object_max larger",
    ),
    (
        "[[site.rule]]\ncompress = [\"gzip\"]\nrequest_remove = [\"accept-encoding\"]",
        "edge.toml:7:12: site.rule.compress: contradicts site.rule.request_remove in line 8\n  \
          remedy: remove it, or site.rule.request_remove",
    ),
];
