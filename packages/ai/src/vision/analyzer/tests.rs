use super::*;
use crate::vision::GlobalContext;
use crate::{Answer, LanguageError, ProviderError};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

const URL: &str = "https://images.test/desk.png";

fn seen(scene: &str) -> VisionAnalysis {
    VisionAnalysis {
        global_context: GlobalContext {
            scene_description: scene.to_owned(),
            ..GlobalContext::default()
        },
        ..VisionAnalysis::default()
    }
}

/// What the model does.
#[derive(Clone, Copy)]
enum Model {
    AnswersAfter(u64),
    FailsAfter(u64),
    IsBlockedAfter(u64),
    Panics,
}

struct FakeVision {
    does: Model,
    calls: AtomicUsize,
    ended: AtomicUsize,
    started: Notify,
}

#[async_trait]
impl Vision for FakeVision {
    fn provider(&self) -> &str {
        "fake"
    }

    async fn analyse(&self, _: &VisionRequest) -> Result<Answer<VisionAnalysis>, VisionError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.started.notify_one();
        let outcome = match self.does {
            Model::AnswersAfter(seconds) => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                let usage = Usage {
                    model: "eyes".to_owned(),
                    input_tokens: 3,
                    ..Usage::default()
                };
                Ok(Answer::new(seen("by the model"), usage))
            }
            Model::FailsAfter(seconds) => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                Err(VisionError::Model {
                    source: LanguageError::Call {
                        provider: "fake".to_owned(),
                        source: ProviderError::Status {
                            status: 429,
                            message: "slow down".to_owned(),
                            transient: true,
                            retry_after: Some(Duration::from_secs(37)),
                        },
                    },
                })
            }
            Model::IsBlockedAfter(seconds) => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                let usage = Usage {
                    input_tokens: 3,
                    ..Usage::default()
                };
                Err(VisionError::Model {
                    source: LanguageError::Blocked {
                        provider: "fake".to_owned(),
                        reason: "SAFETY".to_owned(),
                        usage: Box::new(usage),
                    },
                })
            }
            Model::Panics => panic!("the model is broken"),
        };
        self.ended.fetch_add(1, Ordering::SeqCst);
        outcome
    }
}

/// Comes after two seconds.
const SLOW_URL: &str = "https://images.test/slow.png";

/// Never comes, and says what nobody may see.
const HANGING_URL: &str = "https://me:s3cret@images.test/hanging.png?signature=s3cret";

struct Images;

#[async_trait]
impl ImageSource for Images {
    async fn fetch(&self, url: &str) -> Result<EncodedImage, SourceError> {
        match url {
            SLOW_URL => tokio::time::sleep(Duration::from_secs(2)).await,
            HANGING_URL => std::future::pending().await,
            _ => {}
        }
        if matches!(url, URL | SLOW_URL) {
            return Ok(EncodedImage::new(b"\x89PNG\r\n\x1a\n".to_vec()).unwrap());
        }
        Err(SourceError {
            url: url.to_owned(),
            transient: true,
            source: "down".into(),
        })
    }
}

/// What the cache does.
enum Cache {
    Knows(u64),
    KnowsBy(&'static str),
    KnowsNothingUseful,
    DoesNotKnow(u64),
    Fails,
}

#[async_trait]
impl VisionCache for Cache {
    async fn lookup(&self, hash: &ImageHash) -> Result<Option<KnownAnalysis>, BoxError> {
        assert!(
            [URL, SLOW_URL, HANGING_URL]
                .map(ImageHash::of_url)
                .contains(hash)
        );
        match self {
            Self::Knows(after) => {
                tokio::time::sleep(Duration::from_secs(*after)).await;
                Ok(known(seen("by the cache"), None))
            }
            Self::KnowsBy(provider) => Ok(known(seen("by the cache"), Some(provider))),
            Self::KnowsNothingUseful => Ok(known(VisionAnalysis::default(), None)),
            Self::DoesNotKnow(after) => {
                tokio::time::sleep(Duration::from_secs(*after)).await;
                Ok(None)
            }
            Self::Fails => Err("the store is down".into()),
        }
    }
}

fn known(analysis: VisionAnalysis, provider: Option<&str>) -> Option<KnownAnalysis> {
    Some(KnownAnalysis {
        analysis,
        provider: provider.map(str::to_owned),
    })
}

/// Keeps what it is told, and fails if it is told to.
struct Recorder {
    told: mpsc::UnboundedSender<ArchiveRequest>,
    fails: bool,
}

#[async_trait]
impl Archive for Recorder {
    async fn archive_requested(&self, request: ArchiveRequest) -> Result<(), BoxError> {
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.told.send(request)?;
        if self.fails {
            return Err("nobody takes it".into());
        }
        Ok(())
    }
}

struct Set {
    analyzer: Analyzer,
    model: Arc<FakeVision>,
    context: AnalysisContext,
    archived: Mutex<mpsc::UnboundedReceiver<ArchiveRequest>>,
}

fn set(does: Model, cache: Option<Cache>) -> Set {
    let model = Arc::new(FakeVision {
        does,
        calls: AtomicUsize::new(0),
        ended: AtomicUsize::new(0),
        started: Notify::new(),
    });
    let (told, archived) = mpsc::unbounded_channel();
    let mut analyzer = Analyzer::new(model.clone(), Arc::new(Images));
    if let Some(cache) = cache {
        analyzer = analyzer.with_cache(Arc::new(cache));
    }
    Set {
        analyzer,
        model,
        context: AnalysisContext {
            latest_image: None,
            archive: Some(Arc::new(Recorder { told, fails: false })),
        },
        archived: Mutex::new(archived),
    }
}

impl Set {
    async fn analyse(&self, mode: Mode) -> Result<Analysed, AnalysisError> {
        self.analyse_at(URL, mode).await
    }

    async fn analyse_at(&self, url: &str, mode: Mode) -> Result<Analysed, AnalysisError> {
        let request = AnalysisRequest {
            image_url: Some(url.to_owned()),
            mode,
        };
        self.analyzer.analyse(&request, &self.context).await
    }

    fn calls(&self) -> usize {
        self.model.calls.load(Ordering::SeqCst)
    }

    async fn archived(&self) -> Vec<ArchiveRequest> {
        self.analyzer.archived().await;
        let mut archived = self.archived.lock().unwrap();
        std::iter::from_fn(|| archived.try_recv().ok()).collect()
    }
}

#[test]
fn an_image_is_known_by_the_hash_of_its_url() {
    let hash = ImageHash::of_url("abc");
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(hash.as_str(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_first_usable_answer_wins() {
    use Cache::{DoesNotKnow, Fails, Knows, KnowsBy, KnowsNothingUseful};
    use Model::{AnswersAfter, FailsAfter};
    // (model, cache, who answers, after seconds)
    let cases = [
        (AnswersAfter(10), Some(Knows(1)), "by the cache", 1),
        (AnswersAfter(1), Some(Knows(2)), "by the model", 1),
        (AnswersAfter(10), Some(DoesNotKnow(1)), "by the model", 10),
        (
            AnswersAfter(10),
            Some(KnowsNothingUseful),
            "by the model",
            10,
        ),
        (AnswersAfter(10), Some(KnowsBy("local")), "by the model", 10),
        (AnswersAfter(10), Some(KnowsBy("fake")), "by the cache", 0),
        (
            AnswersAfter(10),
            Some(KnowsBy("other (eyes)")),
            "by the cache",
            0,
        ),
        (AnswersAfter(10), Some(Fails), "by the model", 10),
        (AnswersAfter(10), Some(Knows(3)), "by the model", 10),
        (AnswersAfter(10), None, "by the model", 10),
        (FailsAfter(1), Some(Knows(1)), "by the cache", 1),
        (FailsAfter(0), Some(Knows(1)), "by the cache", 1),
    ];
    for (at, (model, cache, expected, seconds)) in cases.into_iter().enumerate() {
        let set = set(model, cache);
        let started = Instant::now();
        let analysed = set.analyse(Mode::Full).await.unwrap();
        let scene = analysed.analysis.global_context.scene_description;
        assert_eq!(scene, expected, "case {at}");
        assert_eq!(started.elapsed().as_secs(), seconds, "case {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_model_is_what_the_caller_hears_of_and_when_to_try_again() {
    for cache in [None, Some(Cache::Fails), Some(Cache::DoesNotKnow(9))] {
        let error = set(Model::FailsAfter(1), cache)
            .analyse(Mode::Full)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "fake did not analyse the image");
        assert!(error.is_transient());
        assert_eq!(error.retry_after(), Some(Duration::from_secs(37)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_hangs_is_given_up_after_its_modes_time() {
    for (mode, seconds) in [(Mode::Quick, 60), (Mode::Full, 120)] {
        let set = set(Model::AnswersAfter(1_000), Some(Cache::DoesNotKnow(9)));
        let started = Instant::now();
        let error = set.analyse(mode).await.unwrap_err();
        assert!(matches!(error, AnalysisError::Timeout { .. }), "{error:?}");
        assert_eq!(started.elapsed().as_secs(), seconds);
        assert!(error.is_transient());
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_does_not_come_is_told_and_not_blamed_on_the_model() {
    for (mode, cache) in [
        (Mode::Quick, None),
        (Mode::Full, Some(Cache::DoesNotKnow(1))),
    ] {
        let set = set(Model::AnswersAfter(0), cache);
        let started = Instant::now();
        let error = set.analyse_at(HANGING_URL, mode).await.unwrap_err();
        assert_eq!(started.elapsed(), FETCH_TIMEOUT);
        assert!(error.is_transient());
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(
            [error.to_string(), source.to_string()],
            [
                "there is nothing to analyse",
                "cannot fetch the image at https://images.test/hanging.png"
            ]
        );
        let reason = source.source().unwrap().to_string();
        assert_eq!(reason, "it did not come within 30 s");
        assert_eq!(set.calls(), 0);
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
    let known = set(Model::AnswersAfter(0), Some(Cache::Knows(1)));
    let analysed = known.analyse_at(HANGING_URL, Mode::Full).await.unwrap();
    assert_eq!(analysed.answered_by, AnsweredBy::Cache);
}

#[tokio::test(start_paused = true)]
async fn a_models_time_begins_when_it_is_asked() {
    for (mode, seconds) in [(Mode::Quick, 60), (Mode::Full, 120)] {
        let in_time = set(Model::AnswersAfter(seconds - 1), None);
        in_time.analyse_at(SLOW_URL, mode).await.unwrap();
        let late = set(Model::AnswersAfter(1_000), None);
        let started = Instant::now();
        let error = late.analyse_at(SLOW_URL, mode).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("fake did not analyse the image within {seconds} s")
        );
        assert_eq!(started.elapsed().as_secs(), 2 + seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_for_one_image_share_a_call_and_the_archive_is_told_once() {
    let set = set(Model::AnswersAfter(10), None);
    let (a, b, c) = tokio::join!(
        set.analyse(Mode::Full),
        set.analyse(Mode::Full),
        set.analyse(Mode::Full)
    );
    let spent = [&a, &b, &c].map(|a| a.as_ref().unwrap().spent.is_some());
    assert_eq!(spent.iter().filter(|spent| **spent).count(), 1);
    let shared = [&a, &b, &c].map(|a| a.as_ref().unwrap().shared);
    assert_eq!(shared.iter().filter(|shared| !**shared).count(), 1);
    assert_eq!(a.unwrap().answered_by, b.unwrap().answered_by);
    assert_eq!(set.calls(), 1);
    assert_eq!(set.archived().await.len(), 1);
    // What is over is not shared any more.
    set.analyse(Mode::Full).await.unwrap();
    assert_eq!(set.calls(), 2);
    assert_eq!(set.analyzer.flights.under_way(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_call_cost_is_told_to_one_of_those_who_shared_it() {
    let set = set(Model::IsBlockedAfter(10), None);
    let (a, b, c) = tokio::join!(
        set.analyse(Mode::Full),
        set.analyse(Mode::Full),
        set.analyse(Mode::Full)
    );
    assert_eq!(set.calls(), 1);
    let errors = [a, b, c].map(Result::unwrap_err);
    let paid = errors.iter().filter_map(AnalysisError::usage);
    let paid: Vec<u64> = paid.map(|usage| usage.input_tokens).collect();
    assert_eq!(paid, [3]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_failed_before_the_cache_knew_has_cost_too() {
    let set = set(Model::IsBlockedAfter(0), Some(Cache::Knows(1)));
    let analysed = set.analyse(Mode::Full).await.unwrap();
    assert_eq!(analysed.answered_by, AnsweredBy::Cache);
    assert_eq!(analysed.spent.unwrap().input_tokens, 3);
}

#[tokio::test(start_paused = true)]
async fn a_quick_look_is_neither_a_full_answer_nor_archived() {
    let set = set(Model::AnswersAfter(10), None);
    let (quick, full) = tokio::join!(set.analyse(Mode::Quick), set.analyse(Mode::Full));
    assert!(!quick.unwrap().shared && !full.unwrap().shared);
    assert_eq!(set.calls(), 2);
    assert_eq!(set.archived().await.len(), 1);
    set.analyse(Mode::Quick).await.unwrap();
    assert!(set.archived().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn where_an_image_is_shows_up_in_no_log() {
    let set = set(Model::AnswersAfter(1), None);
    let request = AnalysisRequest {
        image_url: Some(URL.to_owned()),
        mode: Mode::Full,
    };
    let analysed = set.analyse(Mode::Full).await.unwrap();
    let archived = set.archived().await;
    for told in [
        format!("{request:?}"),
        format!("{analysed:?}"),
        format!("{archived:?}"),
    ] {
        assert!(!told.contains("images.test"), "{told}");
        assert!(told.contains(ImageHash::of_url(URL).as_str()), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_joined_is_served_when_the_one_who_started_goes_away() {
    let set = Arc::new(set(Model::AnswersAfter(10), None));
    let leader = tokio::spawn({
        let set = set.clone();
        async move { set.analyse(Mode::Full).await }
    });
    set.model.started.notified().await;
    let follower = tokio::spawn({
        let set = set.clone();
        async move { set.analyse(Mode::Full).await }
    });
    tokio::task::yield_now().await;
    leader.abort();
    let analysed = follower.await.unwrap().unwrap();
    // Nobody else is left to meter the call.
    assert!(!analysed.shared);
    assert_eq!(set.calls(), 1);
    assert_eq!(set.archived().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_waits_for_is_given_up() {
    let set = Arc::new(set(Model::AnswersAfter(10), None));
    let only = tokio::spawn({
        let set = set.clone();
        async move { set.analyse(Mode::Full).await }
    });
    set.model.started.notified().await;
    only.abort();
    let _ = only.await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(set.model.ended.load(Ordering::SeqCst), 0);
    assert_eq!(set.analyzer.flights.under_way(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_panics_strands_nobody() {
    let set = set(Model::Panics, None);
    let (a, b) = tokio::join!(set.analyse(Mode::Full), set.analyse(Mode::Full));
    for error in [a.unwrap_err(), b.unwrap_err()] {
        assert_eq!(
            error.to_string(),
            "fake stopped in the middle of the analysis"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn archiving_does_not_hold_up_the_answer_and_its_failure_is_not_the_callers() {
    let mut set = set(Model::AnswersAfter(1), None);
    let (told, archived) = mpsc::unbounded_channel();
    set.context.archive = Some(Arc::new(Recorder { told, fails: true }));
    set.archived = Mutex::new(archived);
    let started = Instant::now();
    set.analyse(Mode::Full).await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 1);
    let archived = set.archived().await;
    assert_eq!(archived.len(), 1);
    assert_eq!(archived[0].image_url, URL);
    assert_eq!(archived[0].image_hash, ImageHash::of_url(URL));
    assert_eq!(archived[0].analysis, seen("by the model"));
    assert_eq!(archived[0].provider, "fake");
}

#[tokio::test(start_paused = true)]
async fn what_the_cache_knew_is_not_archived_again() {
    let set = set(Model::AnswersAfter(10), Some(Cache::Knows(0)));
    set.analyse(Mode::Full).await.unwrap();
    assert!(set.archived().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_image_is_the_one_asked_for_else_the_latest_of_the_context() {
    let mut set = set(Model::AnswersAfter(0), None);
    let none = AnalysisRequest::default();
    let error = set.analyzer.analyse(&none, &set.context).await.unwrap_err();
    assert!(matches!(error, AnalysisError::NoImage) && !error.is_transient());
    set.context.latest_image = Some(URL.to_owned());
    let analysed = set.analyzer.analyse(&none, &set.context).await.unwrap();
    assert_eq!(analysed.image_url, URL);
    // (url, message, whether to try again)
    let cases = [
        (
            "https://images.test/gone.png",
            "there is nothing to analyse",
            true,
        ),
        (
            "data:text/plain;base64,aGk=",
            "the data: URL holds no image",
            false,
        ),
    ];
    for (url, message, transient) in cases {
        let request = AnalysisRequest {
            image_url: Some(url.to_owned()),
            mode: Mode::Quick,
        };
        let error = set
            .analyzer
            .analyse(&request, &set.context)
            .await
            .unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.is_transient()),
            (message, transient)
        );
    }
}
