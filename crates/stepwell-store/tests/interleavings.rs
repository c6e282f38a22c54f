//! Whatever happens, in whatever order: the engine stays what its store holds, no run is stuck or forgotten, no
//! limit is passed, and no recorded step changes.
//!
//! Random histories of events, answers (also late, doubled, lost by a restart), checkpoints, endpoints and their
//! reports, cancellations, registrations, failed commits and passing time are played against the engine and the store in memory.

#[path = "interleavings/world.rs"]
mod world;

use proptest::prelude::*;
use world::{Act, Answered, FUNCTION_SETS, World};

fn answered() -> impl Strategy<Value = Answered> {
    let step = 0_u8..5;
    prop_oneof![
        2 => Just(Answered::Return),
        1 => Just(Answered::Fail),
        1 => Just(Answered::FailForGood),
        1 => Just(Answered::NotMade),
        1 => Just(Answered::Nothing),
        1 => Just(Answered::Complete),
        1 => Just(Answered::Unsupported),
        4 => step.clone().prop_map(Answered::Ran),
        1 => step.clone().prop_map(Answered::StepError),
        1 => step.clone().prop_map(Answered::StepFailed),
        3 => Just(Answered::RanTarget),
        2 => (step.clone(), 0_u64..30_000).prop_map(|(step, ms)| Answered::Sleep { step, ms }),
        4 => (1_u8..32, any::<bool>(), proptest::option::of(0_u64..30_000))
            .prop_map(|(steps, race, nap)| Answered::Plan { steps, race, nap }),
        1 => (step.clone(), step).prop_map(|(ran, failed)| Answered::RanAndError { ran, failed }),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => (0_u8..2, 0_u8..2, proptest::option::of(0_u8..6), prop_oneof![9 => Just(0), 1 => 1_u64..20_000])
            .prop_map(|(name, user, id, later_ms)| Act::Event { name, user, id, later_ms }),
        14 => (any::<usize>(), answered(), 1_i32..3, any::<bool>())
            .prop_map(|(which, answered, version, no_retry)| Act::Reply { which, answered, version, no_retry }),
        2 => (any::<usize>(), answered()).prop_map(|(which, answered)| Act::LateReply { which, answered }),
        3 => (any::<usize>(), 0_u8..5, any::<bool>())
            .prop_map(|(which, step, says_generation)| Act::Checkpoint { which, step, says_generation }),
        1 => (any::<usize>(), 0_u8..5).prop_map(|(which, step)| Act::LateCheckpoint { which, step }),
        2 => (0_u8..3, answered()).prop_map(|(path, answered)| Act::Endpoint { path, answered }),
        4 => (any::<usize>(), answered()).prop_map(|(which, answered)| Act::Report { which, answered }),
        1 => (any::<usize>(), 0_u8..3).prop_map(|(which, path)| Act::EndpointAgain { which, path }),
        1 => any::<usize>().prop_map(Act::Cancel),
        1 => (0..FUNCTION_SETS).prop_map(Act::Sync),
        2 => any::<usize>().prop_map(Act::Announce),
        3 => (0_u64..40_000).prop_map(Act::Advance),
        1 => (0_u64..1_000_000).prop_map(Act::Advance),
        1 => Just(Act::Restart),
        1 => Just(Act::FailedCommit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_history_breaks_the_promise(calls_max in 1_usize..8, acts in prop::collection::vec(act(), 1..90)) {
        let mut world = World::new(calls_max);
        for act in acts {
            world.act(act);
        }
        world.finish_everything();
    }
}
