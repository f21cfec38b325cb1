//! The smallest plan that still fails.

use super::plan::Plan;

/// Rounds over all parts of a plan; each but the last has made it smaller.
const ROUNDS_MAX: usize = 20;

/// Returns the smallest plan found that `fails` as well, leaving out one thing at a time.
///
/// *Units and limits*: tries each fault, client, request, event and move at most twenty times.
pub fn shrink(plan: &Plan, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
    let mut smallest = plan.clone();
    for _ in 0..ROUNDS_MAX {
        let before = smallest.clone();
        for smaller in [without_fault, without_client, without_ask, without_event, without_move, with_less] {
            let mut index = 0;
            while let Some(candidate) = smaller(&smallest, index) {
                if fails(&candidate) {
                    smallest = candidate;
                } else {
                    index += 1;
                }
            }
        }
        if smallest == before {
            break;
        }
    }
    smallest
}

fn without_fault(plan: &Plan, index: usize) -> Option<Plan> {
    (index < plan.faults.len()).then(|| {
        let mut plan = plan.clone();
        plan.faults.remove(index);
        plan
    })
}

fn without_client(plan: &Plan, index: usize) -> Option<Plan> {
    (index < plan.clients.len()).then(|| {
        let mut plan = plan.clone();
        plan.clients.remove(index);
        plan
    })
}

fn without_ask(plan: &Plan, index: usize) -> Option<Plan> {
    let mut plan = plan.clone();
    let mut left = index;
    for client in &mut plan.clients {
        if left < client.len() {
            client.remove(left);
            return Some(plan);
        }
        left -= client.len();
    }
    None
}

fn without_event(plan: &Plan, index: usize) -> Option<Plan> {
    (index < plan.events.len()).then(|| {
        let mut plan = plan.clone();
        plan.events.remove(index);
        plan
    })
}

fn without_move(plan: &Plan, index: usize) -> Option<Plan> {
    (index < plan.moves.len()).then(|| {
        let mut plan = plan.clone();
        plan.moves.remove(index);
        plan
    })
}

/// Makes one setting simpler.
fn with_less(plan: &Plan, index: usize) -> Option<Plan> {
    let mut smaller = plan.clone();
    let settings = &mut smaller.settings;
    match index {
        0 => settings.retries = 0,
        1 => settings.breaker = 0,
        2 => settings.interval_ms = 0,
        3 => settings.negative_ms = 0,
        4 => settings.retry_delay_ms = 0,
        5 => (settings.token_ms, settings.redirects) = (0, false),
        6 => settings.disk_bytes = None,
        7 => settings.cache_bytes = None,
        8 => settings.range_wait = 8 << 20,
        9 => settings.pause_ms = 2,
        10 => smaller.clients.iter_mut().flatten().for_each(|ask| ask.at_ms = 0),
        _ => return None,
    }
    if smaller == *plan { with_less(plan, index + 1) } else { Some(smaller) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_goes() {
        let plan = (0..).map(Plan::of).find(|it| it.faults.len() > 3 && it.clients.len() > 3).unwrap();
        let wanted = plan.faults[2].clone();
        let smallest = shrink(&plan, |it| it.faults.contains(&wanted) && !it.clients.is_empty());
        assert_eq!((smallest.faults.as_slice(), smallest.clients.len()), ([wanted].as_slice(), 1));
        assert_eq!((smallest.clients[0].len(), smallest.moves.len(), smallest.settings.retries), (0, 0, 0));
    }
}
