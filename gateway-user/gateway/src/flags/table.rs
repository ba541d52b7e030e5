//! The one table of settings.

use super::resolve::Reader;
use super::value::{
    AccessLog, Accounts, AddressMode, Addresses, AfterTakeOver, AllowedPorts, Auto, Capabilities, Cidrs,
    Controller, ControllerName, Count, Cpus, EncodedSeparators, FilePath, Interface, IoMode, LastGood, Limit,
    Listen, LogFilter, MergeSlashes, Namespaces, Networks, NodeEndpoints, NodeReports, ObjectName,
    OptionalPath, Ownership, Ports, ReasonHeader, RequestTrailers, Seccomp, Size, StateDir, SteeringMode,
    TakeOver, Toggle, Uids, UnderscoreHeaders, UnfinishedWrites, UpgradeProtocols, User, Value, Wait,
    WaitOrOff,
};

/// One row: everything that is said about a setting anywhere.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Field of [`Settings`], in snake case; the other spellings follow from it.
    pub(crate) field: &'static str,
    /// Heading in help and documentation.
    pub(crate) group: &'static str,
    /// Written as a user would.
    pub(crate) default: &'static str,
    /// Placeholder in help: what kind of value.
    pub(crate) unit: &'static str,
    /// Its effect.
    pub(crate) about: &'static str,
    /// Cost of a larger or smaller value.
    pub(crate) trade: &'static str,
    /// Allowed values, as the object of "write".
    pub(crate) allowed: fn() -> String,
}

impl Setting {
    /// The flag without its dashes, which is the file key too: `ring-entries`.
    pub(crate) fn name(&self) -> String {
        self.field.replace('_', "-")
    }

    /// The environment variable: `SLUICE_RING_ENTRIES`.
    pub(crate) fn env(&self) -> String {
        format!("SLUICE_{}", self.field.to_ascii_uppercase())
    }
}

macro_rules! settings {
    ($($group:literal { $($field:ident: $ty:ty = $default:literal, $unit:literal, $about:literal, $trade:literal;)+ })+) => {
        /// The settings of one process, checked.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct Settings {
            $($(#[doc = $about] pub(crate) $field: $ty,)+)+
        }

        /// Every setting, in the order of help and documentation.
        pub(crate) static TABLE: &[Setting] = &[$($(Setting {
            field: stringify!($field),
            group: $group,
            default: $default,
            unit: $unit,
            about: $about,
            trade: $trade,
            allowed: <$ty as Value>::allowed,
        },)+)+];

        impl Settings {
            /// Reads every setting, so that every bad one is noted; `None` if there was one.
            pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
                let mut rows = TABLE.iter();
                // Fields and rows come out of one list, so they run side by side.
                $($(let $field = rows.next().and_then(|row| reader.value::<$ty>(row));)+)+
                Some(Self { $($($field: $field?,)+)+ })
            }
        }
    };
}

settings! {
    "Configuration" {
        config_dir: OptionalPath = "none", "DIR",
            "Directory of YAML and JSON files that holds the resources, read with its subdirectories",
            "Also the argument of `sluice run`, which wins";
        kubeconfig: OptionalPath = "none", "FILE",
            "Kubeconfig of the cluster whose resources are served instead of a directory's",
            "Not needed in a pod: with neither this nor a directory, the cluster that the pod runs in is served";
        controller: Controller = "none", "ADDRESS",
            "Where a `sluice controller` is that says what is served, instead of a directory or a cluster: its Unix socket, or a name or an address with a port, to which TLS is spoken",
            "A node needs no token of the cluster's API and no client of it then; what it was told last is served without its controller, too. Over a network --controller-ca and --controller-token are needed";
        controller_ca: OptionalPath = "none", "FILE",
            "Certificates of the authorities that sign controllers' certificates, in PEM: key ca.crt of the ConfigMap that controllers publish, or cert-manager's",
            "Read for each connection, so that it follows a rotation. Whoever signs for these says what is served";
        controller_token: OptionalPath = "none", "FILE",
            "Token that tells a controller which node this is: one that the kubelet projects into the pod for audience sluice-controller",
            "Read for each connection. The token opens nothing else: it is for no API server";
        node_socket: Auto<FilePath> = "auto", "SOCKET",
            "Unix socket where a controller serves its nodes; auto is nodes.sock in --state-dir",
            "Nodes in another container need it in a directory that both have";
        node_users: Auto<Uids> = "auto", "UIDS",
            "Users whose processes may follow a controller, beside root; auto is the controller's own user",
            "Who follows is told every certificate's private key";
        stream_address: Listen = "off", "ADDRESS",
            "Where a controller serves nodes of a network, over TLS 1.3, such as 0.0.0.0:15010",
            "Only over a cluster, whose API server judges the nodes' tokens. The controller that holds the Lease serves them, and the others say where it is";
        stream_tls: Auto<FilePath> = "auto", "DIR",
            "Directory with tls.crt and tls.key that controllers show to nodes, with the DNS name sluice-controller: a mounted Secret of cert-manager's; auto is an authority and certificates that the controllers keep themselves, in Secret sluice-controller-tls",
            "Read again when they change. auto needs a Role for that Secret and for ConfigMap sluice-controller-ca";
        node_namespace: Auto<ObjectName> = "auto", "NAME",
            "Namespace of the pods that follow a controller over a network, where controllers publish ConfigMap sluice-controller-ca; auto is --namespace",
            "A pod mounts only what its own namespace has; another one than --namespace needs a Role there for that ConfigMap";
        node_accounts: Auto<Accounts> = "auto", "ACCOUNTS",
            "ServiceAccounts whose pods may follow a controller over a network; auto is sluice-node in --node-namespace",
            "Who follows is told the private keys of the certificates that its node serves";
        node_reports: NodeReports = "stream", "WAY",
            "How a controller learns what nodes serve: by their streams to the one that leads, or relay, where each node has a controller of its own that writes its NodeReport",
            "relay is for a controller beside every node; with stream and several controllers statuses know the leader's nodes alone";
        watch_namespaces: Namespaces = "all", "NAMES",
            "Namespaces of the cluster whose resources are read; Namespaces, GatewayClasses and definitions are read anyway",
            "Fewer take less memory and rights that end at a namespace; a Gateway cannot admit routes of others";
        namespace: Auto<ObjectName> = "auto", "NAME",
            "Namespace of the cluster that holds Sluice's own objects: the Lease of the process that writes statuses, and a NodeReport per node; auto is the pod's own, else sluice-system",
            "Two releases beside each other need two";
        node_name: Auto<ObjectName> = "auto", "NAME",
            "Name under which this node reports to the others; auto is the environment's NODE_NAME, else the host name",
            "Two nodes of one name overwrite each other's reports";
        node_addresses: Auto<Addresses> = "auto", "ADDRESSES",
            "Addresses where clients reach this node, for the status of Gateways that name none; auto is those that the default routes leave from",
            "Name the public addresses of a node behind address translation; none reports no address";
        address_mode: AddressMode = "node", "MODE",
            "Addresses of Gateways that name none: node is every address of the nodes, pool is one of each family of --address-pool for each Gateway",
            "With node, Gateways share addresses and must not want the same port and host; pool needs addresses that others can route to the nodes, and CAP_NET_ADMIN";
        address_pool: Cidrs = "none", "CIDRS",
            "Networks whose addresses are assigned to Gateways with --address-mode pool; a Gateway that names one of them gets it if it is free",
            "Nobody else may use these addresses; a Gateway keeps its own across restarts";
        address_interface: Interface = "none", "NAME",
            "Interface that the addresses of --address-mode pool are added to, each without its network; removed at the end",
            "The network must send packets for these addresses to it: one that responds to ARP, or has a route to it";
        gateway_addresses: Auto<Cidrs> = "auto", "CIDRS",
            "Networks whose addresses Gateways may name in spec.addresses, besides those of --address-pool; auto is every address with --address-mode node, and none more than the pool's with pool",
            "Whoever may create a Gateway can have connections to an address that it names, on every port that no other Gateway or program has there";
        probe_address: Listen = "[::]:15011", "ADDRESS",
            "UDP address where a node that follows a controller answers probes of other nodes, with --address-mode pool: an address moves only if its node's stream is gone and two others do not reach it there",
            "Nodes must reach each other there; with off, or behind a firewall, addresses of a node that died stay with it. Set it alike on controller and nodes";
        write_status: Toggle = "true", "BOOL",
            "Lets this process write the status of the cluster's objects when it leads",
            "false only reports and serves: for trying out a second release on a cluster that another one serves";
        status_qps: Count<0, 10000> = "50", "WRITES",
            "Writes in a second, at the most, of the statuses of the cluster's objects; 0 is no bound",
            "Fewer spare the API server after a change that thousands of routes tell of; what has no status yet is written first";
        gateway_accounts: Toggle = "true", "BOOL",
            "Has a ServiceAccount without token made for each Gateway of the cluster that has labels or annotations in spec.infrastructure, which it carries",
            "false needs no right on ServiceAccounts, and infrastructure has no effect then but for parametersRef";
        debounce: Wait = "100ms", "DURATION",
            "Quiet time after a change of a file before the directory is read",
            "Longer batches more edits into one generation, shorter applies an edit sooner";
        unfinished_writes: UnfinishedWrites = "wait", "MODE",
            "When a changed file counts: wait is once it was closed or moved into place, or else unchanged for 5 s, or for 2 s where it became empty or shorter; read is after the quiet time of --debounce",
            "wait keeps what was read before while a file is being written; with read, objects of a file that is empty for a moment are gone for that moment";
        controller_name: ControllerName = "sluice.dev/gateway", "DOMAIN/PATH",
            "GatewayClasses with this spec.controllerName are served by this process",
            "Two releases beside each other need two names";
        address_ownership: Ownership = "oldest-namespace", "WHO",
            "Policy for a Gateway that asks for one address of an older Gateway's every-address on a port: oldest-namespace refuses the listener if the two are of different namespaces, shared does not",
            "With shared, anyone who may create a Gateway can take another team's traffic on one of the node's addresses";
        host_ownership: Ownership = "shared", "WHO",
            "Policy for routes of several namespaces on one host: shared merges them and reports conflicts, oldest-namespace refuses all but those of the namespace that has a label for the host, or else the oldest route that names it",
            "With shared, any namespace that a listener admits can take paths of another's host; with oldest-namespace, teams that share a host by path need labels";
        state_dir: StateDir = "auto", "DIR",
            "Directory for the lock and state of this process; made if missing, emptied on exit but for last good versions. auto is /run/sluice for root and for the user whom it belongs to, for others sluice in $XDG_RUNTIME_DIR, or sluice-UID in the directory for temporary files where that is not set, not theirs or open to others",
            "Two gateways on one machine need two directories; a second process on one takes over from the first";
        take_over: TakeOver = "auto", "MODE",
            "Behaviour if a process already serves with this state directory: auto takes over its connections and has it drain and end, never refuses to start, spare waits until it has ended and serves then",
            "auto is how upgrades lose no request; never guards against a start by mistake; spare serves at once in place of a process that was killed, where whoever starts that one again takes a second or more";
        last_good: Auto<LastGood> = "auto", "MODE",
            "Objects that the state directory keeps for the next process, of those that are broken in their files, or over a cluster of all objects that are served: keys keeps them whole, sealed too but with the key of --last-good-key, no-keys without private keys, off nothing; auto is sealed with such a key, else keys, and no-keys on a node that follows a controller",
            "A restart then survives an error in a file, or an API server that is away. no-keys writes no private key to disk, and HTTPS waits for the API server then; true and false are earlier names of keys and off";
        last_good_key: OptionalPath = "none", "FILE",
            "File with the key that --last-good=sealed seals with: 32 random bytes at least, read again when it changes",
            "Put it where the state directory is not, such as a mounted Secret: who has both has the private keys. A file sealed with an earlier key is not read after a start with the next one";
        keep_capabilities: Capabilities = "none", "CAPABILITIES",
            "Capabilities that are not dropped once kernel programs are loaded, besides those that later work needs",
            "With CAP_SYS_PTRACE and --user=keep a refused port names the program that holds it; an intruder has the capabilities that are kept";
        user: User = "auto", "USER",
            "User that a process started as root changes to once programs are loaded and ports are bound: auto is 65532 where the process has the rights to change, keep stays root",
            "Resources, kubeconfig and log file must be open to that user, which is checked at the start; an intruder has root's rights otherwise";
        seccomp: Seccomp = "on", "MODE",
            "Policy for system calls that are not on the list of the thread's kind: on makes them fail and counts them, log writes them to the kernel's audit log, off sets no filter",
            "on leaves an intruder in a worker no files, programs or connections by system call; a worker's io_uring, whose operations are no system calls, is restricted to a worker's from Linux 5.19 on";
    }
    "Workers" {
        workers: Auto<Count<1, 256>> = "auto", "THREADS",
            "Worker threads; auto is one per CPU of --cpus",
            "More than there are CPUs adds switching, fewer leaves CPUs to others";
        cpus: Cpus = "auto", "CPUS",
            "CPUs that workers are pinned to in turn; auto is all that the process may run on, none does not pin",
            "Pinned workers keep their caches; unpinned ones move away from a CPU that others keep busy";
        io: IoMode = "auto", "MODE",
            "How workers do I/O: auto takes the best io_uring the kernel allows and falls back to epoll",
            "uring refuses to start where io_uring is blocked; epoll works everywhere and costs more CPU per request";
        ring_entries: Count<64, 32768> = "4096", "ENTRIES",
            "Submission queue entries of each worker's ring",
            "More lets more operations start per system call and takes locked memory";
        buffer_size: Size<4096, 1048576> = "16KiB", "SIZE",
            "Size of the buffers that workers receive into",
            "Larger costs fewer system calls on big bodies and more memory per active connection";
        max_connections: Auto<Count<1, 1000000>> = "auto", "CONNECTIONS",
            "Client connections that one worker holds, those above get 503; auto is a worker's share of half the limit of open files or, if that is less, of what a quarter of the memory holds at 16KiB each",
            "Bounds memory and descriptors under attack; too low refuses real clients. Above four fifths of it the namespace and the listener with the most requests under way give way to others";
        buffer_memory: Auto<Size<1048576, 1099511627776>> = "auto", "SIZE",
            "Buffers that one worker lends, in bytes; with all of them lent new requests get 503, those under way go on; auto is a worker's share of a quarter of the memory, which is that of the tightest cgroup or the machine's",
            "Bounds memory under slow clients and backends; above three fifths of it the namespace and the listener with the most requests under way give way to others";
        max_connections_per_client: Count<0, 1000000> = "0", "CONNECTIONS",
            "Client connections that one worker holds of one client network (--client-prefix-ipv4, --client-prefix-ipv6), those above get 503; 0 bounds nothing",
            "Keeps one client from taking every connection; many clients behind one address translation count as one. --trusted-proxies are not counted, those behind --proxy-protocol by the address in their header";
        max_udp_flows: Auto<Count<1, 1000000>> = "auto", "FLOWS",
            "Flows of UDP listeners that one worker holds, each with a descriptor; beyond those the ones whose clients may have been made up give way, and datagrams of other clients are dropped; auto is a quarter of --max-connections, at least 16",
            "Bounds memory and descriptors under made-up sources; each DNS query of a resolver is a flow, for --udp-flow-idle-timeout";
        max_udp_flows_per_client: Auto<Count<1, 1000000>> = "auto", "FLOWS",
            "Of those, the flows of one client network; auto is a quarter of --max-udp-flows, at least 16",
            "Keeps one client from taking every flow; many clients behind one address translation count as one";
        client_prefix_ipv4: Count<8, 32> = "32", "BITS",
            "Leading bits of an IPv4 address that tell client networks apart",
            "Fewer take neighbouring addresses for one client";
        client_prefix_ipv6: Count<16, 128> = "64", "BITS",
            "Leading bits of an IPv6 address that tell client networks apart",
            "A customer has a /64 at least, often a /56; with more bits one client counts as many";
        backlog: Count<1, 65535> = "4096", "CONNECTIONS",
            "Connections that may wait to be accepted, per listening socket; the kernel caps it at net.core.somaxconn",
            "A longer queue absorbs bursts, a shorter one refuses sooner";
    }
    "Steering" {
        steering: SteeringMode = "auto", "MODE",
            "How connections reach workers: ebpf steers them in the kernel with no socket per port, reuseport binds each port",
            "auto tries ebpf and reports why if it falls back; ebpf refuses to start instead";
        reserved_ports: Ports = "22,2379-2381,6443,10248-10250,10256-10259", "PORTS",
            "Ports that no listener may take on an address of the node",
            "Protects the node's own services; none lets a Gateway take any port, ssh included";
        allowed_ports: AllowedPorts = "all", "PORTS",
            "Ports that listeners may have; one with another port is not served, and its condition says so",
            "A list keeps teams from ports that a firewall or a load balancer in front does not expect; all allows every port";
        freed_ports_after: Wait = "5m", "DURATION",
            "How long a port that another program held has to have been free before a listener gets it by itself; an edit of its Gateway asks for it at once",
            "Keeps a listener from taking the port of a service that restarts; 0 takes it as soon as it is free";
        placeholders: Toggle = "true", "BOOL",
            "Binds the ports that kernel programs steer as well, by sockets that never listen, so that no other program's bind succeeds there; at most one descriptor in 64, and 4096",
            "Ports below 1024 need a process that was started with CAP_NET_BIND_SERVICE; false lets other programs bind such ports and wait for connections that never come";
        unprivileged_offset: Count<0, 64511> = "8000", "PORTS",
            "Added to listener ports below 1024 where the process may not bind those; 0 refuses such listeners instead",
            "Lets a user without rights run a Gateway for port 80 at port 8080; ebpf steering needs no offset";
        bpffs: FilePath = "/sys/fs/bpf", "DIR",
            "Where the BPF file system is mounted; programs and maps are pinned below it",
            "Without it steering works but `sluice cleanup` finds nothing after a crash";
        helper: OptionalPath = "none", "PATH",
            "Socket of the helper (`sluice helper`) that does for this process what takes a right: loading kernel programs, binding ports below 1024, putting addresses on an interface",
            "The process then needs no capability and is never root; none has it do all of that itself";
    }
    "Request limits" {
        max_request_line: Size<64, 1048576> = "8KiB", "SIZE",
            "Longest request line; longer ones get 414",
            "Allows longer URLs; costs memory per connection";
        max_header_bytes: Size<256, 1048576> = "32KiB", "SIZE",
            "Largest request or response head, request line included; larger ones get 431 or 502",
            "Allows larger cookies; costs memory per connection";
        max_headers: Count<4, 256> = "100", "FIELDS",
            "Most header fields in one head; more get 431 or 502",
            "Each field costs parsing on every request";
    }
    "Regular expressions" {
        regex_bytes: Size<1024, 16777216> = "1MiB", "SIZE",
            "The most that one regular expression of a route may take, compiled or as the work of compiling it; its rule is refused otherwise",
            "More admits larger counted repetitions and takes memory, and CPU of one thread when such a route is edited";
        regex_route_bytes: Size<1024, 1073741824> = "8MiB", "SIZE",
            "The most that all regular expressions of a route may take; its later rules are refused otherwise",
            "Bounds what one object can cost";
        regex_namespace_bytes: Size<1024, 1073741824> = "32MiB", "SIZE",
            "The most that all regular expressions of a namespace's routes may take; its youngest routes are refused otherwise",
            "Bounds what one tenant can cost in memory, and how long a start waits for it";
        regex_scan_bytes: Size<65536, 1073741824> = "4MiB", "SIZE",
            "The most that one request may have scanned: bytes of its longest head times the regular expressions that may be tried on them; the youngest rules of the host are refused otherwise",
            "4MiB take a worker 10 to 50 ms, in turns with other requests; more admits more different expressions on one host";
    }
    "Timeouts" {
        client_header_timeout: Limit = "15s", "DURATION",
            "From the first byte of a request until its head is complete; then 408",
            "Shorter frees connections of slow or hostile clients, longer helps those far away";
        tls_handshake_timeout: Limit = "10s", "DURATION",
            "From the first byte of a TLS connection until its handshake is complete; then it is closed",
            "Shorter frees connections of slow or hostile clients, longer helps those far away";
        client_idle_timeout: Limit = "75s", "DURATION",
            "How long a kept-alive client connection may wait for its next request",
            "Longer saves handshakes, shorter saves memory; keep it above that of a load balancer in front";
        half_close_timeout: WaitOrOff = "5s", "DURATION",
            "How long a client that has finished sending (FIN, or close_notify) may wait for its response to begin; 0 ends its requests at once, off waits as for any client",
            "Clients such as nc -N and old health checks finish before they read; a client that is gone looks alike, and its backend works on meanwhile";
        client_body_timeout: Limit = "60s", "DURATION",
            "Longest silence of a client in the middle of a request body",
            "Shorter frees backends of stalled uploads";
        client_send_timeout: Limit = "60s", "DURATION",
            "Longest time that a client takes no byte of its response",
            "Shorter frees backends of stalled downloads";
        client_min_rate: Size<0, 1048576> = "100B", "SIZE",
            "Bytes a second that a client must send of a request body while it is waited for, averaged over of --client-body-timeout, and take of a response",
            "Ends clients that send a byte now and then and hold a backend for ever; a slow phone sends some KiB; 0 sets no minimum, for request bodies that are slow live feeds";
        request_timeout: Limit = "0", "DURATION",
            "From a request's head to the end of its response, where its route sets no timeouts.request; then 504",
            "A limit protects against stuck backends and cuts long downloads and event streams";
        upstream_connect_timeout: Limit = "5s", "DURATION",
            "For a connection to a backend; then another endpoint is tried",
            "Shorter moves on sooner, longer tolerates a busy backend";
        upstream_response_timeout: Limit = "60s", "DURATION",
            "From the request sent to the last byte of the backend's response head, interim (1xx) responses included; then 504",
            "Shorter frees connections of stuck backends, longer allows slow responses";
        upstream_body_timeout: Limit = "60s", "DURATION",
            "Longest silence of a backend in the middle of a response body",
            "Shorter frees clients of stuck backends; event streams that pause longer are cut";
        grpc_idle_timeout: Limit = "1h", "DURATION",
            "Longest silence of a client or a backend in a gRPC call, in place of --client-body-timeout, --client-min-rate, --upstream-response-timeout and --upstream-body-timeout",
            "Watches may be silent for long, and clients set deadlines of their own; shorter frees streams of backends that are gone";
        tunnel_idle_timeout: Limit = "1h", "DURATION",
            "Longest silence of both sides of an upgraded connection or stream, such as a WebSocket, or of a connection of a TCP or TLS listener; then it is closed",
            "Shorter frees what peers that vanished hold; applications that say nothing for longer must ping";
        udp_flow_idle_timeout: Limit = "60s", "DURATION",
            "Longest silence of a client of a UDP listener and its backend; the client's next datagram begins a flow anew, maybe to another backend",
            "Shorter frees descriptors of clients that ask once, such as resolvers; protocols with state must send something more often";
    }
    "Backends" {
        upstream_max_requests: Auto<Count<1, 1000000>> = "auto", "REQUESTS",
            "Requests that one worker has under way at one Service port, those above get 503; auto is half of --max-connections, at least 16",
            "Keeps one tenant's slow backend from taking every connection; too low refuses a popular one its long downloads";
        upstream_max_pending: Auto<Count<1, 1000000>> = "auto", "REQUESTS",
            "Of those, how many may wait for their response to begin, those above get 503; auto is a quarter of --max-connections, at least 16",
            "Bounds what a stuck backend holds; set it above what a backend of long polls needs";
        upstream_h2_max_streams: Count<1, 1000> = "100", "STREAMS",
            "Requests that a worker has at once on one HTTP/2 connection to an endpoint; one more opens another connection",
            "Fewer spreads requests over more of the backend's threads and lets one lost connection end fewer of them; 64 KiB of memory each at worst";
        upstream_idle_timeout: Limit = "60s", "DURATION",
            "How long an unused backend connection is kept",
            "Keep it below the backend's own limit, or requests meet closing connections";
        upstream_max_idle: Auto<Count<0, 65535>> = "auto", "CONNECTIONS",
            "Unused connections that a worker keeps per endpoint; auto is as many as requests of the last seconds had in use at once, at least 64; 0 connects anew for every request",
            "A number saves the memory of backends that take few connections; with fewer than are in use at once, requests connect anew all the time";
    }
    "Endpoints" {
        backend_networks: Cidrs = "none", "CIDRS",
            "Networks in which endpoints may lie, those elsewhere are not used; none is everywhere. Over a cluster loopback, link-local, multicast, broadcast and unspecified addresses are used only if a network within such a range is listed, such as 127.0.0.0/8",
            "Name the networks of pods and nodes: authors of EndpointSlices then reach nothing else; set it alike on all nodes, since the status of routes speaks of it";
        unready_endpoints_after: Wait = "30s", "DURATION",
            "How long the endpoints of a cluster's Service are used on when all of them become not ready at once and none terminates; a state that lasts longer is believed",
            "After an outage of the API server Kubernetes takes all pods for not ready until it has heard of their nodes; 0 believes it at once";
        node_endpoints: NodeEndpoints = "allow", "MODE",
            "Endpoints on this node's own addresses: allow uses them but for reserved ports (over a cluster) and Sluice's own ports and listeners, refuse uses none",
            "refuse protects servers on the node from those who may write EndpointSlices; backends in the node's network and clusters of one node need allow";
        system_ca_certificates: OptionalPath = "/etc/ssl/certs/ca-certificates.crt", "FILE",
            "Certificates of the authorities that BackendTLSPolicies mean by wellKnownCACertificates: System, in PEM; the image has those of Mozilla there",
            "Read once, when the process starts that judges the policies: a controller's is used on all nodes. With none such policies are not accepted";
    }
    "Trust" {
        trusted_proxies: Cidrs = "none", "CIDRS",
            "Peers whose X-Forwarded-* and X-Request-Id fields are kept and appended to; those of others are replaced",
            "List your own load balancers only: a listed peer can claim any client address";
        proxy_protocol: Cidrs = "none", "CIDRS",
            "Peers whose connections must begin with a PROXY header (version 1 or 2), which names the client; others are served as they are",
            "List your own load balancers only, and those that send it: a listed peer can claim any client address, and is closed without a header";
    }
    "Requests" {
        http2: Toggle = "true", "BOOL",
            "HTTP/2 from clients: by ALPN over TLS, and on ports in the clear where a client begins with it",
            "false has every client speak HTTP/1.1";
        upgrade_protocols: UpgradeProtocols = "websocket", "PROTOCOLS",
            "Protocols that requests may change to by Upgrade, or by CONNECT with :protocol, as names in a list; their bytes pass unread. Requests for others go on as HTTP/1.1",
            "Behind an upgrade no route, filter or limit of a request applies; none refuses WebSocket too. h2c, http and tls cannot be listed: a client would speak HTTP past the gateway";
        underscore_headers: UnderscoreHeaders = "drop", "POLICY",
            "Policy for request fields with an underscore in their name: drop removes them before the request is matched, reject responds 400, keep forwards them",
            "Many servers read X_Auth_User as X-Auth-User; names that a route on the host matches or sets and those of gRPC requests stay, but for aliases of fields that proxies or filters write; keep is for backends that tell the two apart";
        request_trailers: RequestTrailers = "drop", "POLICY",
            "Policy for the trailers of requests and their Trailer field: drop removes them, keep forwards those that name no field which a proxy or a filter writes",
            "A server that merges trailers into the header fields would trust them; hardly any client sends them in requests. Trailers of responses are always forwarded";
        reason_header: ReasonHeader = "auto", "WHO",
            "Audience of the reason of the gateway's own responses, in x-sluice-reason and the body: always is everybody, trusted is --trusted-proxies and loopback, never is nobody; auto is trusted over a cluster, always over files",
            "The public learns from it which hosts and backends exist; the access log has it anyway";
    }
    "Paths" {
        merge_slashes: MergeSlashes = "match", "POLICY",
            "Policy for runs of slashes in a path: match has rules see each as one and backends see all but those at the start as written, true makes each one for both, false for none",
            "Rules for /admin hold for //admin as well, and URLs in paths and keys of object stores reach backends whole; true breaks those, false opens ways around rules where backends merge";
        encoded_separators: EncodedSeparators = "refuse-dangerous", "POLICY",
            "Policy for paths that two servers could read differently, which get a 400: refuse-dangerous refuses those with %00, a bare backslash, or a dot segment behind %2F, %5C or a path parameter (;), refuse also every %2F and %5C, keep none",
            "Closes ways around prefix rules where backends decode more than the gateway does; refuse breaks APIs with encoded slashes in names, keep trusts every backend to read paths as the gateway does";
        reject_encoded_slashes: Toggle = "false", "BOOL",
            "The old name of --encoded-separators refuse",
            "true is the same as that, and contradicts keep";
    }
    "Draining" {
        drain_min: Wait = "5s", "DURATION",
            "After the signal to stop: how long new connections are still served while readiness is false",
            "Must cover the time that load balancers need to notice, and in a DaemonSet the time in which a deleted pod's replacement comes to ask for the sockets, which are held for it then; with neither, 0";
        drain_max: Wait = "30s", "DURATION",
            "After the signal to stop: when requests still running are cut",
            "Longer lets long downloads end; terminationGracePeriodSeconds must cover this and 150 s more, in which a replacement may start";
        after_take_over: AfterTakeOver = "end", "WAY",
            "What becomes of a process that another one has taken over from, once it has drained: end, or wait for a signal to stop, or for the end of the one that took over",
            "A kubelet starts a container again that ends, which would take over from its successor: pods of a DaemonSet need wait. Anything else is replaced by hand, and needs end";
    }
    "Observability" {
        health_address: Listen = "0.0.0.0:15021", "ADDRESS",
            "Where /healthz/live and /healthz/ready are served",
            "Load balancers and the kubelet must reach it; off has no probes";
        probe_socket: OptionalPath = "none", "PATH",
            "Unix socket where this process answers `sluice probe`, from its start on, for itself alone: ready once it serves and not its predecessor, live unless only a new start helps; none has none",
            "A port that two processes share in a hot restart is answered by the old one until the new one serves, so a kubelet that asks there takes a hung new pod for ready: give each pod a directory of its own, such as an emptyDir";
        metrics_address: Auto<Listen> = "auto", "ADDRESS",
            "Where /metrics is served; auto is 127.0.0.1:19001, and 0.0.0.0:19001 where a cluster is served",
            "Prometheus must reach it; anyone who does learns hosts, routes and traffic of every team";
        metrics_clients: Networks = "all", "CIDRS",
            "Networks of the clients that may read /metrics; others are disconnected before a byte is read",
            "Name those that Prometheus scrapes from: that of the nodes and that of the pods in a cluster";
        max_series: Count<100, 100000> = "2000", "SERIES",
            "Series of request metrics that one worker keeps; requests beyond are counted together",
            "More distinguishes more routes, and makes pages of metrics and the memory for them larger";
        max_series_per_namespace: Auto<Count<10, 100000>> = "auto", "SERIES",
            "Of those, how many the routes of one namespace may have; auto is half of --max-series",
            "Keeps one team's routes from using up the table; a gateway of one team may set it to --max-series";
        admin_address: Listen = "off", "ADDRESS",
            "TCP address where /status, /config_dump and /logging are served besides the socket in --state-dir",
            "Anyone who reaches it reads the whole configuration, a backend on loopback included: prefer the socket, which serves root and Sluice's own user alone";
        access_log: AccessLog = "stdout", "TARGET",
            "Where one JSON line per request goes: off, stdout or a path",
            "Costs CPU and disk per request; a slow disk drops lines (counted), never requests";
        log: LogFilter = "info", "FILTER",
            "Which log lines go to standard error, in RUST_LOG form; PUT /logging changes it while running",
            "debug and trace cost CPU";
    }
}
