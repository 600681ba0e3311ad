//! A request for a site with rules: which one holds, and what it does before the lookup.

use std::sync::Arc;

use longhold_conn::BodyLength;
use longhold_gateway::outcome::{Fwd, Outcome};
use longhold_gateway::plan::{self, Facts, Plan};
use longhold_gateway::reject::Persistence;
use longhold_gateway::rules::{self, Redirect, Rule, SiteRef};
use longhold_http1::{self as http1, RequestHead};
use longhold_transport::Transport;

use super::Worker;
use super::active::Body;
use crate::outgoing::{Outgoing, Piece};

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// Finds the rule, and goes on as it has it.
    pub(super) fn on_ruled(
        &mut self,
        index: u32,
        site: usize,
        asked: (Plan, Facts),
        (head, raw): (&RequestHead<'_>, &[u8]),
    ) {
        if !self.enter(index, site) {
            let cause = "the site has too many requests in progress; try again later";
            return self.answer(index, 503, cause, Some(1));
        }
        let shared = Arc::clone(&self.shared);
        let mut path = std::mem::take(&mut self.scratch.path);
        let id = shared.rules.find(site, head, &mut path);
        let site = SiteRef { number: site, rule: id };
        match shared.rules.get(id) {
            None => self.route(index, asked, site, (head, raw)),
            Some(Rule { redirect: Some(redirect), .. }) => {
                self.redirect(index, redirect, (head, &path));
            }
            Some(rule) if rule.rewrites(head.method) => {
                self.rewrite(index, rule, site, head);
            }
            Some(rule) => self.go_on(index, (rule, site), asked, (head, raw)),
        }
        self.scratch.path = path;
    }

    /// Takes a place among the site's requests, where these have a bound.
    fn enter(&mut self, index: u32, site: usize) -> bool {
        let Some(Some(gate)) = self.shared.gates.get(site) else { return true };
        let Some(active) = self.actives.get_mut(index) else { return true };
        active.place = gate.enter();
        active.place.is_some()
    }

    /// Goes on with the request as the rule has it.
    fn rewrite(&mut self, index: u32, rule: &Rule, site: SiteRef, head: &RequestHead<'_>) {
        let mut rewritten = std::mem::take(&mut self.scratch.rewritten);
        rule.rewrite(head, &mut rewritten);
        let limits = self.shared.limits;
        match http1::parse_request(&rewritten, &limits) {
            Ok(Some(head)) => {
                let asked = plan::plan(&head);
                self.go_on(index, (rule, site), asked, (&head, &rewritten));
            }
            Ok(None) => self.answer(index, 500, "the request was lost inside the edge", None),
            // What the rule adds no longer fits the limits of a head.
            Err(reject) => self.answer(index, reject.status(), &reject.to_string(), None),
        }
        self.scratch.rewritten = rewritten;
    }

    /// Looks the request up, unless the rule has it pass by.
    fn go_on(
        &mut self,
        index: u32,
        (rule, site): (&Rule, SiteRef),
        (plan, facts): (Plan, Facts),
        request: (&RequestHead<'_>, &[u8]),
    ) {
        let passes = rule.bypass && plan == Plan::Lookup;
        if passes && facts.directives.only_if_cached {
            // RFC 9111 section 5.2.1.7: the client wants nothing of the origin's.
            let cause = "only-if-cached: nothing is stored here";
            return self.answer(index, 504, cause, None);
        }
        let plan = if passes { Plan::Pass(Fwd::Bypass) } else { plan };
        self.route(index, (plan, facts), site, request);
    }

    /// Sends the client to where its listener sends everybody; false when that sends nobody.
    pub(super) fn send_elsewhere(&mut self, index: u32, head: &RequestHead<'_>) -> bool {
        let slot = self.actives.get(index).and_then(|active| self.slots.get(active.token.slot));
        let Some(slot) = slot else { return false };
        let shared = Arc::clone(&self.shared);
        let Some(Some(redirect)) = shared.redirects.get(usize::from(slot.listener())) else {
            return false;
        };
        let mut path = std::mem::take(&mut self.scratch.path);
        rules::write_path(head, &mut path);
        self.redirect(index, redirect, (head, &path));
        self.scratch.path = path;
        true
    }

    /// Sends the client elsewhere.
    fn redirect(
        &mut self,
        index: u32,
        redirect: &Redirect,
        (request, path): (&RequestHead<'_>, &[u8]),
    ) {
        let location = redirect.location(request, path);
        let Some(active) = self.actives.get_mut(index) else { return };
        active.body = Body::Done;
        active.outcome = Outcome::local(redirect.status);
        let length = BodyLength::Known(rules::redirect_len(&location));
        let plan = active.conn.start_response(redirect.status, length);
        let persistence = Persistence { close: plan.close, keep_alive: plan.keep_alive_field };
        let mut head = std::mem::take(&mut self.scratch.head);
        head.clear();
        let answer = (redirect.status, &*location);
        let now_ms = self.now.unix_ms;
        rules::write_redirect(&mut head, answer, persistence, plan.send_body, now_ms);
        self.send_head(index, &head, Piece::None);
        self.scratch.head = head;
    }
}
