//! HTTP caching rules as pure functions: RFC 9111, 5861, 8246 and 9213 for a shared cache, with the
//! conditional and range requests of RFC 9110, the `Cache-Status` of RFC 9211 and the `Priority` of
//! RFC 9218.
//!
//! # What it is
//! ```text
//! request ──► RequestDirectives ─────────────┐
//!                                            ▼
//! request + response ► storable::evaluate ► StoredMeta ► reuse::decide(now) ► Decision
//!                            │ NotStored       ▲                                │
//!                            ▼                 └── freshen::merge ◄── 304 ──────┘ Validate
//! stored response ► validate::evaluate ► range::select ► what the client gets
//! ```
//! | question | answered by |
//! |---|---|
//! | may this response be stored, and for how long is it fresh? | [`storable`] |
//! | what may a site say beside its origin? | [`storable::Rules`] |
//! | which fields must others not get? | [`directives::ResponseDirectives::withholds`] |
//! | may the stored response answer this request now? | [`reuse::decide`] |
//! | may it stand in for an error? | [`reuse::may_serve_on_error`] |
//! | which variant does the request select? | [`vary`] |
//! | 200 or 304? which bytes? | [`validate::evaluate`], [`range::select`] |
//! | what to ask the origin | [`validate::conditional_fields`] |
//! | what does a 304 change, or a HEAD? | [`freshen`] |
//! | which parts belong together? | [`part::may_combine`] |
//! | what makes stored responses invalid? | [`invalidate::applies`], [`invalidate::targets`] |
//! | how urgent is a response? | [`priority`] |
//! | how to say all this to the client | [`status::write`], [`reuse::age_s`] |
//!
//! # What it is not
//! It keeps nothing, reads no clock, opens nothing, logs nothing and cannot fail: every input has
//! an outcome. It does not know keys, stores, sites or configuration; it does not parse messages,
//! and trusts no field to be well formed. What the RFCs allow and this form does not do is listed,
//! with reasons, in [`exceptions`].
//!
//! # Invariants
//! - **PO-1** No input panics or overflows, and what is chosen of a body lies within it.
//! - **PO-2** Results depend on the arguments alone; `now` is one of them.
//! - **PO-3** The age of a stored response never falls as `now` rises, and a clock that steps back
//!   makes nothing younger than on arrival. What is stale for a request stays stale for it.
//! - **PO-4** no-store of either side, and private, is never stored, nor is a field that private or
//!   no-cache names; only a well-formed must-understand lifts a no-store, as RFC 9111 section
//!   5.2.2.3 has it. A valid targeted field speaks for the origin in place of `Cache-Control`. No
//!   rule of a site's lifts a prohibition.
//! - **PO-5** [`StoredMeta`] is read back as it was written; bytes of another version, length or
//!   flag are not read at all.
//! - **PO-6** A directive that forbids counts in whatever form it comes; one that permits counts
//!   only if it is well formed. An unreadable freshness lifetime is zero.
//! - **PO-7** Nothing stale is served without a permission in force, and nothing at all against
//!   no-cache; must-revalidate and proxy-revalidate beat every permission, and so does s-maxage
//!   unless the site says otherwise ([`storable::Rules::s_maxage_revalidates`]).
//! - **PO-8** What runs on a hit allocates nothing: the modules [`directives`], [`reuse`],
//!   [`validate`], [`range`], [`date`] and [`fields`], and [`StoredMeta`], do not use `alloc`.
//!
//! The clauses stand at the code and at the cases in `tests/cases/`, which read as given, when,
//! then.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod date;
pub mod directives;
pub mod exceptions;
pub mod fields;
pub mod freshen;
pub mod freshness;
pub mod invalidate;
mod meta;
pub mod method;
pub mod part;
pub mod priority;
pub mod range;
pub mod reuse;
pub mod status;
pub mod storable;
mod structured;
pub mod targeted;
pub mod validate;
pub mod vary;

pub use fields::Field;
pub use meta::{LifetimeSource, Part, StoredMeta};
