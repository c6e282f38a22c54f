//! The same seed tells the same story.

use stepwell_sim::{Scenario, Story, run};

#[test]
fn a_seed_tells_its_story_twice_to_the_letter() {
    for seed in 0..60 {
        let scenario = Scenario::of(seed);
        let first = run(&scenario, Story::kept());
        let second = run(&Scenario::of(seed), Story::kept());
        assert!(!first.story.lines().is_empty(), "seed {seed} tells nothing");
        for (one, other) in first.story.lines().iter().zip(second.story.lines()) {
            assert_eq!(one, other, "seed {seed}");
        }
        assert_eq!(first.story, second.story, "seed {seed}");
        assert_eq!(first.tally, second.tally, "seed {seed}");
    }
}

#[test]
fn seeds_differ() {
    let story = |seed| run(&Scenario::of(seed), Story::kept()).story;
    assert_ne!(story(1), story(2));
}
