//! Many limits at once against a model that is nothing but the rules: a list of theoretical arrival times, and counts.

use super::*;

/// What each kind of limit is in every case of this file, as `(interval, burst)`.
#[derive(Clone, Copy, Debug, Default)]
struct Widths {
    key: Width,
    vendor: Width,
    practice: Width,
    files: Width,
    patient: Width,
    requests: u64,
    at_once: u64,
}

/// Kind, number, and category.
type Place = (u8, u32, u16);
/// Interval and burst.
type Width = (u64, u64);

#[derive(Debug, Default)]
struct Model {
    /// By kind, number and category: when the next unit is due.
    due: HashMap<Place, u64>,
    used: HashMap<(u32, u32), u64>,
    running: HashMap<u32, u64>,
}

impl Model {
    /// The buckets of a request, with the width of each.
    fn buckets(widths: &Widths, step: &Step) -> Vec<(Place, Width)> {
        let mut buckets =
            vec![((0, step.key, 0), widths.key), ((2, step.key % 2, 0), widths.practice)];
        buckets.extend(step.vendor.map(|vendor| ((1, vendor, 0), widths.vendor)));
        buckets.extend(step.files.then_some(((3, step.key, 0), widths.files)));
        buckets.extend(step.patient.then_some(((3, step.key, 1), widths.patient)));
        buckets
    }

    /// None: it is admitted. Some: the wait, none where only an end brings one.
    fn take(
        &mut self,
        widths: &Widths,
        step: &Step,
        now: u64,
        day: u32,
    ) -> Result<(), Option<u64>> {
        let weight = |(interval, burst): Width| interval * u64::from(step.cost).min(burst);
        let buckets = Self::buckets(widths, step);
        let due = |at: &Place| self.due.get(at).copied().unwrap_or_default().max(now);
        let wait = |(at, width): &(Place, Width)| {
            (due(at) + weight(*width)).saturating_sub(width.0 * width.1).saturating_sub(now)
        };
        let mut waits: Vec<Option<u64>> =
            buckets.iter().map(wait).filter(|wait| *wait > 0).map(Some).collect();
        let used = self.used.get(&(step.key, day)).copied().unwrap_or_default();
        waits.extend((used >= widths.requests).then_some(Some(DAY / 2)));
        let running = self.running.get(&step.key).copied().unwrap_or_default();
        waits.extend((running >= widths.at_once).then_some(None));
        if let Some(longest) = waits.into_iter().max() {
            return Err(longest);
        }
        for (at, width) in buckets {
            let after = due_after(&self.due, at, now) + weight(width);
            self.due.insert(at, after);
        }
        *self.used.entry((step.key, day)).or_default() += 1;
        *self.running.entry(step.key).or_default() += 1;
        Ok(())
    }
}

fn due_after(due: &HashMap<Place, u64>, at: Place, now: u64) -> u64 {
    due.get(&at).copied().unwrap_or_default().max(now)
}

#[derive(Clone, Debug)]
struct Step {
    key: u32,
    vendor: Option<u32>,
    files: bool,
    patient: bool,
    cost: u32,
    /// In thousandths of a second.
    gap: u64,
    next_day: bool,
    /// How many of those that run end before.
    ends: usize,
}

fn any_step() -> impl Strategy<Value = Step> {
    let gap = prop_oneof![6 => Just(0_u64), 3 => 0_u64..3_000, 1 => 0_u64..100_000];
    let who = (0_u32..4, proptest::option::of(0_u32..2), any::<bool>(), any::<bool>());
    let how = (
        prop_oneof![4 => Just(1_u32), 1 => 1_u32..30],
        gap,
        proptest::bool::weighted(0.03),
        0_usize..3,
    );
    (who, how).prop_map(|((key, vendor, files, patient), (cost, gap, next_day, ends))| Step {
        key,
        vendor,
        files,
        patient,
        cost,
        gap,
        next_day,
        ends,
    })
}

fn any_widths() -> impl Strategy<Value = Widths> {
    let rate = || (1_u64..=20, 1_u64..=20);
    let rates = (rate(), rate(), rate(), rate(), rate());
    (rates, 5_u64..60, 1_u64..8).prop_map(
        |((key, vendor, practice, files, patient), requests, at_once)| Widths {
            key,
            vendor,
            practice,
            files,
            patient,
            requests,
            at_once,
        },
    )
}

/// Widths as they are written: so many units, one of them in so many seconds.
fn written(widths: &Widths) -> String {
    let rate = |(seconds, burst): Width| format!("{{ rate: 1/{seconds}s, burst: {burst} }}");
    let Widths { key, vendor, practice, files, patient, requests, at_once } = *widths;
    format!(
        "key: {}, vendor: {}, practice: {}, category: {{ files: {}, patient: {} }}, \
         daily_quota: {{ requests: {requests} }}, max_concurrent_per_key: {at_once}",
        rate(key),
        rate(vendor),
        rate(practice),
        rate(files),
        rate(patient),
    )
}

/// The same in nanoseconds.
fn counted(widths: &Widths) -> Widths {
    let nanos = |(seconds, burst): Width| (seconds * SECOND, burst);
    Widths {
        key: nanos(widths.key),
        vendor: nanos(widths.vendor),
        practice: nanos(widths.practice),
        files: nanos(widths.files),
        patient: nanos(widths.patient),
        ..*widths
    }
}

fn needs_of(step: &Step, config: &Config) -> Vec<Need> {
    let named = [("files", step.files), ("patient", step.patient)];
    let id = |name: &str| config.policy.catalogue.id(name).unwrap();
    let wanted = named.iter().filter(|(_, is_needed)| *is_needed);
    // Named twice, as two rules of one request may: it is counted once.
    let once = wanted.map(|(name, _)| Need { scope: id(name), access: Access::READ });
    once.clone().chain(once).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn all_limits_of_a_request_admit_what_a_model_of_them_admits(
        widths in any_widths(), steps in proptest::collection::vec(any_step(), 1..150),
    ) {
        let config = with_limits(&written(&widths));
        let plan = Plan::of(&config, None);
        let (limiter, mut model, widths) = (Limiter::default(), Model::default(), counted(&widths));
        let (mut now, mut day) = (START.0, NOON.day);
        let mut open: Vec<(u32, Spent)> = Vec::new();
        for step in steps {
            now += step.gap * 1_000_000;
            day += u32::from(step.next_day);
            for _ in 0..step.ends.min(open.len()) {
                let (key, spent) = open.remove(0);
                limiter.end(spent, 10);
                *model.running.get_mut(&key).unwrap() -= 1;
            }
            let charge = Charge {
                plan: &plan,
                who: Counted { key: step.key, practice: step.key % 2, vendor: step.vendor, own: None },
                categories: plan.touched(&needs_of(&step, &config)),
                cost: NonZeroU32::new(step.cost).unwrap(),
                at: Moment(now),
                clock: Clock { day, left: DAY / 2 },
            };
            let verdict = limiter.take(&charge);
            let wanted = model.take(&widths, &step, now, day);
            let told = verdict.outcome.as_ref().err().map(|_| refused(&verdict).1);
            prop_assert_eq!(wanted.err(), told, "{:?}", step);
            open.extend(verdict.outcome.ok().map(|spent| (step.key, spent)));
            // And what is told to be left is what is left.
            for standing in verdict.standings.iter().filter(|standing| standing.kind == LimitKind::Key) {
                let owed = due_after(&model.due, (0, step.key, 0), now) - now;
                prop_assert_eq!(standing.left, (widths.key.0 * widths.key.1 - owed) / widths.key.0);
                prop_assert_eq!(standing.reset, Some(owed.div_ceil(SECOND)));
            }
        }
    }
}
