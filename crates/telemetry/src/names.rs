//! The one table of metrics: enum variant, Prometheus name, unit, label, help.
//!
//! A row makes the variant, its cell in every [`WorkerCounters`](crate::WorkerCounters), its
//! description and its line in `/metrics`; nothing else names it (TM-3). Rows of one family differ
//! in the value of one label. Names end as Prometheus asks: counters in `_total`, bytes in
//! `_bytes`, times in `_seconds`.

/// The unit of a metric, as its name also says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds in the exported text; observed in microseconds.
    Seconds,
}

/// One row: a metric, or one label value of a family of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Family name in the exposition format.
    pub name: &'static str,
    /// What is counted.
    pub unit: Unit,
    /// One sentence, the same in all rows of the family.
    pub help: &'static str,
    /// The label that tells this row from the others of its family.
    pub label: Option<(&'static str, &'static str)>,
}

macro_rules! label {
    () => {
        None
    };
    ($key:literal = $value:literal) => {
        Some(($key, $value))
    };
}

macro_rules! metrics {
    (
        $(#[$attribute:meta])*
        $kind:ident
        $($name:literal $unit:ident $help:literal {
            $($variant:ident $($key:literal = $value:literal)?),* $(,)?
        })*
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum $kind {
            $($(
                #[doc = concat!("`", $name $(, "{", $key, "=", $value, "}")?, "`: ", $help)]
                $variant,
            )*)*
        }

        impl $kind {
            /// All rows, in the order of the table.
            pub const ALL: &'static [Self] = &[$($(Self::$variant,)*)*];
            /// Number of rows, and of cells in a thread's set.
            pub const COUNT: usize = Self::ALL.len();
            const ROWS: [Row; Self::COUNT] = [$($(Row {
                name: $name,
                unit: Unit::$unit,
                help: $help,
                label: label!($($key = $value)?),
            },)*)*];

            /// What the table says of this metric.
            #[must_use]
            pub const fn row(self) -> &'static Row {
                &Self::ROWS[self as usize]
            }
        }
    };
}

metrics! {
    /// Numbers that only grow.
    Counter

    "longhold_connections_accepted_total" Count "Downstream connections accepted." {
        ConnectionsAccepted,
    }
    "longhold_connections_adopted_total" Count
        "Connections to origins that became halves of tunnels." {
        ConnectionsAdopted,
    }
    "longhold_tunnels_opened_total" Count "Tunnels opened, by what was asked for." {
        TunnelsOpenedWebsocket "protocol" = "websocket",
        TunnelsOpenedOther "protocol" = "other",
        TunnelsOpenedConnect "protocol" = "connect",
        TunnelsOpenedStream "protocol" = "event-stream",
    }
    "longhold_tunnels_refused_total" Count "Tunnels that were asked for and not opened, by whom." {
        TunnelsRefusedClient "by" = "handshake",
        TunnelsRefusedOrigin "by" = "origin",
        TunnelsRefusedRoom "by" = "room",
    }
    "longhold_tunnel_bytes_total" Bytes "Bytes carried through tunnels, by where they went." {
        TunnelBytesToOrigin "to" = "origin",
        TunnelBytesToClient "to" = "client",
    }
    "longhold_connections_refused_total" Count
        "Downstream connections closed at once or not accepted, by what was exhausted." {
        ConnectionsRefusedTable "limit" = "table",
        ConnectionsRefusedDescriptors "limit" = "descriptors",
        ConnectionsRefusedMemory "limit" = "memory",
        ConnectionsRefusedFault "limit" = "fault",
        ConnectionsRefusedPressure "limit" = "pressure",
        ConnectionsRefusedSource "limit" = "source",
    }
    "longhold_connections_closed_total" Count "Downstream connections closed, by reason." {
        ClosedPeerClosed "reason" = "peer-closed",
        ClosedPeerReset "reason" = "peer-reset",
        ClosedPeerAborted "reason" = "peer-aborted",
        ClosedIdleTimeout "reason" = "idle-timeout",
        ClosedHeadTimeout "reason" = "head-timeout",
        ClosedBodyTimeout "reason" = "body-timeout",
        ClosedSendTimeout "reason" = "send-timeout",
        ClosedLingerTimeout "reason" = "linger-timeout",
        ClosedRejected "reason" = "rejected",
        ClosedBodyUnread "reason" = "body-unread",
        ClosedDrained "reason" = "drained",
        ClosedResponseEnded "reason" = "response-ended",
        ClosedOriginFailed "reason" = "origin-failed",
        ClosedIoFault "reason" = "io-fault",
        ClosedStoreFault "reason" = "store-fault",
        ClosedOverload "reason" = "overload",
        ClosedOrdered "reason" = "ordered",
        ClosedHandshakeTimeout "reason" = "handshake-timeout",
        ClosedHandshakeFailed "reason" = "handshake-failed",
        ClosedTlsBroken "reason" = "tls-broken",
        ClosedOriginClosed "reason" = "origin-closed",
        ClosedTunnelLifetime "reason" = "tunnel-lifetime",
    }
    "longhold_tls_handshakes_begun_total" Count "TLS handshakes begun with clients." {
        TlsBegun,
    }
    "longhold_tls_handshakes_done_total" Count "TLS handshakes done, by what they cost." {
        TlsDoneFull "kind" = "full",
        TlsDoneResumed "kind" = "resumed",
    }
    "longhold_tls_sessions_total" Count "TLS sessions established, by version." {
        TlsSessions12 "version" = "TLSv1.2",
        TlsSessions13 "version" = "TLSv1.3",
    }
    "longhold_tls_handshakes_failed_total" Count
        "TLS handshakes that failed, by reason; left: the client went away or took too long." {
        TlsFailedNotTls "reason" = "not-tls",
        TlsFailedMalformed "reason" = "malformed",
        TlsFailedUnexpectedMessage "reason" = "unexpected-message",
        TlsFailedBadRecord "reason" = "bad-record",
        TlsFailedRecordOverflow "reason" = "record-overflow",
        TlsFailedIllegalParameter "reason" = "illegal-parameter",
        TlsFailedMisbehaved "reason" = "misbehaved",
        TlsFailedTooLong "reason" = "handshake-too-long",
        TlsFailedIncompatible "reason" = "incompatible",
        TlsFailedNoApplicationProtocol "reason" = "no-application-protocol",
        TlsFailedUnknownName "reason" = "unknown-name",
        TlsFailedCertificateRequired "reason" = "certificate-required",
        TlsFailedCertificateRefused "reason" = "certificate-refused",
        TlsFailedPeerAlert "reason" = "peer-alert",
        TlsFailedInternal "reason" = "internal",
        TlsFailedLeft "reason" = "left",
    }
    "longhold_tls_handshakes_refused_total" Count
        "TLS handshakes not begun, the connection being closed instead, by what was exhausted." {
        TlsRefusedSource "limit" = "source",
        TlsRefusedPressure "limit" = "pressure",
    }
    "longhold_tls_sessions_broken_total" Count
        "TLS sessions that broke: a rule of the protocol, or the rest of a record." {
        TlsBrokenProtocol "by" = "protocol",
        TlsBrokenTimeout "by" = "record-timeout",
    }
    "longhold_requests_total" Count "Requests answered, by cache outcome (RFC 9211)." {
        RequestsHit "cache" = "hit",
        RequestsBypass "cache" = "bypass",
        RequestsMethod "cache" = "method",
        RequestsUriMiss "cache" = "uri-miss",
        RequestsVaryMiss "cache" = "vary-miss",
        RequestsMiss "cache" = "miss",
        RequestsRequest "cache" = "request",
        RequestsStale "cache" = "stale",
        RequestsPartial "cache" = "partial",
    }
    "longhold_requests_coalesced_total" Count
        "Requests that followed another request's fetch instead of starting their own." {
        RequestsCoalesced,
    }
    "longhold_coalesce_takeovers_total" Count
        "Followers that became leaders of a fetch, by what had become of the one before." {
        TakeoversSlow "leader" = "slow",
        TakeoversFailed "leader" = "failed",
    }
    "longhold_coalesce_left_total" Count
        "Followers that waited no longer for another's fetch and went on by themselves." {
        FollowersLeft,
    }
    "longhold_coalesce_bypassed_total" Count
        "Requests that waited for no other because the last response was not to be shared." {
        RequestsUnshared,
    }
    "longhold_requests_stale_served_total" Count
        "Requests answered with a stale stored response, by what allowed it." {
        RequestsStaleWhileRevalidate "why" = "stale-while-revalidate",
        RequestsStaleIfError "why" = "stale-if-error",
        RequestsMaxStale "why" = "max-stale",
    }
    "longhold_responses_total" Count "Responses sent downstream, by status class." {
        Responses1xx "class" = "1xx",
        Responses2xx "class" = "2xx",
        Responses3xx "class" = "3xx",
        Responses4xx "class" = "4xx",
        Responses5xx "class" = "5xx",
    }
    "longhold_rejects_total" Count
        "Requests that the edge itself refused before they reached the cache, by status." {
        Rejects400 "status" = "400",
        Rejects408 "status" = "408",
        Rejects413 "status" = "413",
        Rejects414 "status" = "414",
        Rejects417 "status" = "417",
        Rejects421 "status" = "421",
        Rejects429 "status" = "429",
        Rejects431 "status" = "431",
        Rejects501 "status" = "501",
        Rejects503 "status" = "503",
        Rejects505 "status" = "505",
        RejectsOther "status" = "other",
    }
    "longhold_downstream_received_bytes_total" Bytes "Bytes received from downstream." {
        DownstreamReceivedBytes,
    }
    "longhold_downstream_sent_bytes_total" Bytes "Bytes sent downstream." {
        DownstreamSentBytes,
    }
    "longhold_origin_fetches_total" Count "Requests sent to origins." {
        OriginFetches,
    }
    "longhold_origin_received_bytes_total" Bytes "Body bytes received from origins." {
        OriginReceivedBytes,
    }
    "longhold_origin_errors_total" Count "Fetches that failed, by the fault's name in the log." {
        OriginErrorConnectRefused "error" = "connect-refused",
        OriginErrorConnectTimeout "error" = "connect-timeout",
        OriginErrorConnectFault "error" = "connect-fault",
        OriginErrorUnreachable "error" = "unreachable",
        OriginErrorExhausted "error" = "exhausted",
        OriginErrorDns "error" = "dns",
        OriginErrorTlsCertificate "error" = "tls-certificate",
        OriginErrorTlsHandshake "error" = "tls-handshake",
        OriginErrorFirstByteTimeout "error" = "first-byte-timeout",
        OriginErrorReadTimeout "error" = "read-timeout",
        OriginErrorReset "error" = "reset",
        OriginErrorNoResponse "error" = "no-response",
        OriginErrorBadResponse "error" = "bad-response",
        OriginErrorHeadTooLarge "error" = "head-too-large",
        OriginErrorPoolFull "error" = "pool-full",
        OriginErrorQueueTimeout "error" = "queue-timeout",
        OriginErrorTruncated "error" = "truncated",
        OriginErrorUploadAborted "error" = "upload-aborted",
        OriginErrorAbandoned "error" = "abandoned",
        OriginErrorStopped "error" = "stopped",
        OriginErrorBadTarget "error" = "bad-target",
        OriginErrorTunnelUnsupported "error" = "tunnel-unsupported",
    }
    "longhold_store_lookups_total" Count "Lookups in the store, by result." {
        StoreHits "result" = "hit",
        StoreMisses "result" = "miss",
    }
    "longhold_store_stored_total" Count "Responses committed to the store." {
        StoreStored,
    }
    "longhold_store_slices_total" Count
        "Slices of large objects that came by themselves, for requests of a range." {
        StoreSlices,
    }
    "longhold_refetches_total" Count
        "Responses of which a part had left the store unsent, by whether it was fetched again." {
        RefetchesContinued "result" = "continued",
        RefetchesBroken "result" = "broken",
    }
    "longhold_store_refused_total" Count
        "Responses that were storable but that the store could not take." {
        StoreRefused,
    }
    "longhold_store_behind_total" Count
        "Responses that were not stored, or not to their end, because a disk was behind." {
        StoreBehind,
    }
    "longhold_store_waits_cut_total" Count
        "Waits of responses for the store that ended after store.write_patience without it." {
        StoreWaitsCut,
    }
    "longhold_bodies_compressed_total" Count
        "Bodies that a site's rule wanted compressed, by whether a compressor was free." {
        BodiesCompressed "result" = "compressed",
        BodiesUncompressed "result" = "plain",
    }
    "longhold_store_reclaimed_total" Count "Objects that left the store so that others fit." {
        StoreReclaimed,
    }
    "longhold_store_segments_reclaimed_total" Count "Segments emptied for new objects." {
        StoreSegmentsReclaimed,
    }
    "longhold_store_copied_total" Count
        "Objects copied because they were asked for: from memory to a disk, or within their tier." {
        StorePromoted "why" = "promoted",
        StoreReinserted "why" = "reinserted",
    }
    "longhold_store_ghost_hits_total" Count
        "Objects that came back soon after they had left memory, and went to a disk at once." {
        StoreGhostHits,
    }
    "longhold_store_displaced_total" Count
        "Objects that lost their place in the index to another key." {
        StoreDisplaced,
    }
    "longhold_store_damaged_total" Count
        "Records and bodies that failed their checksum; none of them was served." {
        StoreDamaged,
    }
    "longhold_store_disk_written_bytes_total" Bytes "Bytes of records written to disks." {
        StoreDiskWrittenBytes,
    }
    "longhold_store_errors_total" Count "Failed operations on the store's file, by kind." {
        StoreWriteErrors "operation" = "write",
        StoreReadErrors "operation" = "read",
    }
    "longhold_purges_total" Count "Purges acknowledged." {
        Purges,
    }
    "longhold_fetches_purged_total" Count
        "Responses neither stored nor shared, because a purge had overtaken them." {
        FetchesPurged,
    }
    "longhold_store_tags_folded_total" Count
        "Purged tags forgotten for want of room; older records with tags count as purged." {
        StoreTagsFolded,
    }
    "longhold_access_log_dropped_total" Count
        "Exchanges missing in the access log because its queue was full." {
        AccessLogDropped,
    }
    "longhold_buffers_exhausted_total" Count "Times that a worker found no free buffer." {
        BuffersExhausted,
    }
    "longhold_deadlines_expired_total" Count "Deadlines that passed, by kind." {
        DeadlinesIdle "kind" = "idle",
        DeadlinesHandshake "kind" = "handshake",
        DeadlinesHead "kind" = "head",
        DeadlinesBody "kind" = "body",
        DeadlinesSend "kind" = "send",
        DeadlinesLinger "kind" = "linger",
        DeadlinesTunnel "kind" = "tunnel",
    }
    "longhold_page_ins_total" Count
        "Times that stored bytes were not in memory and had to be read, by what came of it." {
        PageInsRequested "outcome" = "requested",
        PageInsAhead "outcome" = "ahead",
        PageInsRefused "outcome" = "refused",
        PageInsCompleted "outcome" = "completed",
        PageInsFailed "outcome" = "failed",
    }
    "longhold_worker_major_faults_total" Count
        "Page faults for which a worker thread itself waited for a device; there should be none." {
        WorkerMajorFaults,
    }
    "longhold_fill_refused_total" Count "Fetches refused because the fill queue was full." {
        FillRefused,
    }
}

metrics! {
    /// Numbers that rise and fall; the exported value is the sum over all threads.
    Gauge

    "longhold_connections" Count "Downstream connections open, by state." {
        ConnectionsHandshaking "state" = "handshaking",
        ConnectionsParked "state" = "parked",
        ConnectionsActive "state" = "active",
        ConnectionsClosing "state" = "closing",
    }
    "longhold_connections_sending" Count
        "Connections with a send that the kernel has not taken whole, once a second." {
        ConnectionsSending,
    }
    "longhold_tls_connections" Count "Connections open with a TLS session." {
        TlsConnections,
    }
    "longhold_tls_handshakes" Count "TLS handshakes in flight." {
        TlsHandshakes,
    }
    "longhold_tunnels" Count "Tunnels open; each counts as two connections." {
        TunnelsOpen,
    }
    "longhold_streams" Count "Endless responses among these." {
        StreamsOpen,
    }
    "longhold_leaks" Count
        "Connections and sockets that are where they may not stay, by kind; a bug if not 0." {
        LeaksClosing "kind" = "closing",
        LeaksNoDeadline "kind" = "no-deadline",
        LeaksOverdue "kind" = "overdue",
        LeaksSockets "kind" = "sockets",
        LeaksBooks "kind" = "books",
    }
    "longhold_pressure_stage" Count
        "What the governor saves, by stage: 1 while it holds; each includes those before it." {
        StageShrinkPools "stage" = "shrink-pools",
        StageSpareMemory "stage" = "spare-memory",
        StageRefuseNewcomers "stage" = "refuse-newcomers",
        StageCloseOldest "stage" = "close-oldest",
    }
    "longhold_memory_used_bytes" Bytes
        "Memory that the edge uses, by part; sockets, polls, unsent are the kernel's, reckoned." {
        MemorySlots "part" = "slots",
        MemoryBuffers "part" = "buffers",
        MemoryStaging "part" = "staging",
        MemoryTier "part" = "tier",
        MemoryTls "part" = "tls",
        MemoryRest "part" = "rest",
        MemorySockets "part" = "sockets",
        MemoryPolls "part" = "polls",
        MemoryUnsent "part" = "unsent",
    }
    "longhold_memory_budget_bytes" Bytes "The bound of memory that is nearest." {
        MemoryBudget,
    }
    "longhold_memory_counted_bytes" Bytes "What counts towards that bound." {
        MemoryCounted,
    }
    "longhold_buffers" Count "Receive buffers that exist." {
        Buffers,
    }
    "longhold_fill_queue" Count "Fetches waiting for a fill thread." {
        FillQueue,
    }
    "longhold_origin_connections" Count "Connections to origins, by state." {
        OriginConnectionsIdle "state" = "idle",
        OriginConnectionsInUse "state" = "in-use",
    }
    "longhold_store_objects" Count "Objects in the store's index." {
        StoreObjects,
    }
    "longhold_store_used_bytes" Bytes "Bytes of the store that hold records." {
        StoreUsedBytes,
    }
    "longhold_store_size_bytes" Bytes "Size of the store." {
        StoreSizeBytes,
    }
    "longhold_store_tier_used_bytes" Bytes "Bytes of records, by tier." {
        StoreTierUsedDisk "tier" = "disk",
        StoreTierUsedMemory "tier" = "memory",
    }
    "longhold_store_tier_size_bytes" Bytes "Size of each tier of the store." {
        StoreTierSizeDisk "tier" = "disk",
        StoreTierSizeMemory "tier" = "memory",
    }
    "longhold_store_segments" Count "Segments of the store, by state." {
        StoreSegmentsClean "state" = "clean",
        StoreSegmentsOpen "state" = "open",
        StoreSegmentsSealed "state" = "sealed",
        StoreSegmentsRetiring "state" = "retiring",
        StoreSegmentsFailed "state" = "failed",
    }
    "longhold_store_devices" Count "Disk devices of the store, by state." {
        StoreDevicesOnline "state" = "online",
        StoreDevicesBehind "state" = "behind",
        StoreDevicesOffline "state" = "offline",
        StoreDevicesUnreadable "state" = "unreadable",
    }
    "longhold_store_purges" Count
        "Purges that lookups compare records with, by what they name." {
        StorePurgesTag "by" = "tag",
        StorePurgesPrefix "by" = "prefix",
    }
    "longhold_workers" Count "Worker threads, by what they wait with." {
        WorkersUring "transport" = "uring",
        WorkersEpoll "transport" = "epoll",
    }
}

metrics! {
    /// Distributions of durations, observed in microseconds.
    Histogram

    "longhold_request_duration_seconds" Seconds
        "From the first byte of a request's head to the last byte of its response." {
        RequestHit "cache" = "hit",
        RequestMiss "cache" = "miss",
    }
}

impl Counter {
    /// The row of [`longhold_responses_total`](Counter::Responses2xx) for a status code.
    /// Codes outside 100–599 count as their nearest class.
    #[must_use]
    pub const fn of_response(status: u16) -> Self {
        match status {
            0..=199 => Self::Responses1xx,
            200..=299 => Self::Responses2xx,
            300..=399 => Self::Responses3xx,
            400..=499 => Self::Responses4xx,
            500.. => Self::Responses5xx,
        }
    }

    /// The row of [`longhold_rejects_total`](Counter::RejectsOther) for the status of a refusal.
    #[must_use]
    pub const fn of_reject(status: u16) -> Self {
        match status {
            400 => Self::Rejects400,
            408 => Self::Rejects408,
            413 => Self::Rejects413,
            414 => Self::Rejects414,
            417 => Self::Rejects417,
            421 => Self::Rejects421,
            429 => Self::Rejects429,
            431 => Self::Rejects431,
            501 => Self::Rejects501,
            503 => Self::Rejects503,
            505 => Self::Rejects505,
            _ => Self::RejectsOther,
        }
    }
}

#[cfg(test)]
mod tests;
