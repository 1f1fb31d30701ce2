//! Plans held against what then happens, over random worlds: what is declared, what actors and other sources did live, keys,
//! profiles and their ends.
//!
//! Worlds are grown in steps, and each planned step is a case: the plan is held against the state and the sessions before it
//! and after its apply. The short form takes 20,000 cases, `HOLDFAST_LONG` a million.

mod foreseen;
mod grown;
mod met;
mod state;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use holdfast_reconciler::desired::Desired;
use holdfast_reconciler::diagnostic::Position;
use holdfast_reconciler::plan::{Plan, PlanOptions, PlanRequest};
use holdfast_reconciler::plane::ControlPlane;

use self::grown::{Grown, Random};
use self::met::Met;
use crate::planes::apply_planned;

/// How many planned steps a world has.
const STEPS: u64 = 50;

#[test]
fn p1_p7_p13_what_a_plan_says_is_what_then_is() {
    let long = std::env::var_os("HOLDFAST_LONG").is_some();
    let worlds: u64 = if long { 20_000 } else { 400 };
    let (met, next) = (Mutex::new(Met::default()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |threads| threads.get().min(8)) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= worlds {
                        return;
                    }
                    let grown = grow(seed);
                    met.lock().unwrap().merge(grown);
                }
            });
        }
    });
    let met = met.into_inner().unwrap();
    print!("{}", met.figures());
    met.check();
}

/// One world, from nothing through all of its steps.
fn grow(seed: u64) -> Met {
    let mut met = Met::default();
    let mut random = Random::new(seed);
    let mut world = Grown::new();
    let mut kept = None;
    for step in 0..STEPS {
        let at = format!("world {seed}, step {step}");
        if random.chance(50) {
            world.live_step(&mut random, &mut met);
            kept = None;
        }
        let mut request = world.next_request(&mut random);
        let mut plan = world.plane.plan(&request).unwrap();
        if plan.is_blocked() || plan.summary.delete > 0 {
            // Somebody who looked at the plan allows what it says, most of the time.
            if random.chance(70) {
                let breaking = plan.sessions.iter().filter(|session| session.breaks);
                request.options.allow_break = breaking.map(|session| session.agent.clone()).collect();
                request.options.allow_delete = Some(plan.summary.delete);
            }
            if random.chance(60) {
                request.options.take = state::takes(&plan);
            }
            plan = world.plane.plan(&request).unwrap();
        }
        let (state, before) =
            kept.take().unwrap_or_else(|| (state::read(&world.plane), foreseen::look(&world.plane, &mut met)));
        let other = if step % 4 == 0 { &world.plane } else { &world.whole };
        let bytes = |plan: &Plan| serde_json::to_string(plan).unwrap();
        assert_eq!(bytes(&plan), bytes(&other.plan(&request).unwrap()), "{at}: two plans differ");
        if step % 4 == 1 {
            let with_places = PlanRequest { desired: placed(&request.desired), ..request.clone() };
            let mut placed = plan.clone();
            placed.place(&with_places.desired);
            let there = world.plane.plan(&with_places).unwrap();
            assert_eq!(bytes(&placed), bytes(&there), "{at}: places put in afterwards are others");
            met.add("plans that got their places afterwards", 1);
        }
        met.add("plans made twice", 1);
        met.add("cases", 1);
        let ended = apply_planned(&world.plane, &request, &plan);
        let after = state::read(&world.plane);
        assert_eq!(ended.is_ok(), plan.applyable, "{at}: {ended:?}\n{plan:#?}");
        if ended.is_err() {
            assert_eq!(after, state, "{at}: a refused apply changed something");
            let what = if plan.is_blocked() { "blocked plans" } else { "plans that lack a value" };
            met.add(what, 1);
            world.forget(&mut random);
            kept = Some((state, before));
            continue;
        }
        let then = foreseen::look(&world.plane, &mut met);
        state::check(&plan, &state, &after, &at);
        foreseen::check(&plan, &before, &then, &at);
        request.options = PlanOptions::default();
        let again = world.plane.plan(&request).unwrap();
        assert!(!again.has_changes() && !again.is_blocked(), "{at}: planning again\n{again:#?}\nafter\n{plan:#?}");
        assert!(again.sessions.is_empty(), "{at}: {:?}", again.sessions);
        met.count_plan(&plan);
        kept = Some((after, then));
        if random.chance(25) {
            let there = kept.take().unwrap();
            kept = Some(roll_back(&world, &request, &plan, &state, there, &mut met, &at));
        }
    }
    met
}

/// What is declared with a place for each resource, and for every second field and secret one of its own.
fn placed(desired: &Desired) -> Desired {
    let mut desired = desired.clone();
    for (number, declared) in desired.resources.iter_mut().enumerate() {
        let place = |column: usize| Position {
            file: format!("{}.toml", number % 3).into(),
            line: number as u32 + 1,
            column: column as u32 + 1,
        };
        let declared = Arc::make_mut(declared);
        let paths = declared.fields.keys().chain(declared.secrets.keys()).enumerate().filter(|(at, _)| at % 2 == 0);
        let places: BTreeMap<_, _> = paths.map(|(at, path)| (path.clone(), place(at + 1))).collect();
        (declared.at, declared.field_at) = (Some(place(0)), places.into());
    }
    desired
}

/// Puts back what was in force before an apply: the plan of it is a plan like any other, and afterwards every field that the
/// source owned then is as it was.
fn roll_back(
    world: &Grown,
    request: &PlanRequest,
    applied: &Plan,
    was: &state::State,
    (state, before): (state::State, foreseen::Looked),
    met: &mut Met,
    at: &str,
) -> (state::State, foreseen::Looked) {
    let at = format!("{at}, rolled back to {}", applied.base.revision);
    let desired = Desired { resources: Vec::new(), ..request.desired.clone() };
    let mut request = PlanRequest { desired, ..request.clone() };
    request.options = PlanOptions { rollback: Some(applied.base.revision), ..PlanOptions::default() };
    let plan = match world.plane.plan(&request) {
        Ok(plan) => plan,
        // Before its first apply there is no source to put back.
        Err(problem) if problem.code == "E_NOT_FOUND" => return (state, before),
        Err(problem) => panic!("{at}: {problem:?}"),
    };
    let breaking = plan.sessions.iter().filter(|session| session.breaks);
    request.options.allow_break = breaking.map(|session| session.agent.clone()).collect();
    request.options.allow_delete = Some(plan.summary.delete);
    let plan = world.plane.plan(&request).unwrap();
    let ended = apply_planned(&world.plane, &request, &plan);
    let after = state::read(&world.plane);
    assert_eq!(ended.is_ok(), plan.applyable, "{at}: {ended:?}\n{plan:#?}");
    met.add("cases", 1);
    if ended.is_err() {
        assert_eq!(after, state, "{at}: a refused rollback changed something");
        return (state, before);
    }
    let then = foreseen::look(&world.plane, met);
    state::check(&plan, &state, &after, &at);
    foreseen::check(&plan, &before, &then, &at);
    let restored = state::check_restored(plan.source.name.as_str(), was, &after, &at);
    met.add("fields put back and compared", restored);
    request.options.allow_delete = None;
    let again = world.plane.plan(&request).unwrap();
    assert!(!again.has_changes() && !again.is_blocked(), "{at}: planning again\n{again:#?}");
    met.add("rollbacks", 1);
    (after, then)
}
