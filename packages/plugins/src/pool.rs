use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Pixels are counted in lots, since permits are `u32`.
const PIXELS_PER_PERMIT: u64 = 1 << 16;

/// Where images are computed: as many at once as there are cores, and no more pixels than fit.
///
/// Whole files are the unit of work, so threads need not share one file's: tokio's blocking threads behind a semaphore do what
/// a second pool of threads would, without one, and whoever waits is a task that can be cancelled. All runs of a process share
/// one pool; clones are the same pool. The three limits are always taken in the same order, and are fair.
#[derive(Debug, Clone)]
pub struct Pool {
    files: Arc<Semaphore>,
    pixels: Arc<Semaphore>,
    pixel_permits: u32,
    threads: Arc<Semaphore>,
    size: PoolSize,
}

/// How much a [`Pool`] does at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSize {
    /// Computations.
    pub threads: usize,
    /// Files whose bytes are in memory, fetched, computed or stored.
    pub files: usize,
    /// Decoded pixels of all computations. One that needs more than all runs alone.
    pub pixels: u64,
}

impl Default for PoolSize {
    /// All cores, and for each two files and 48 megapixels (up to about 400 MB).
    fn default() -> Self {
        let threads = available_parallelism().map_or(1, usize::from);
        Self {
            threads,
            files: threads * 2 + 2,
            pixels: threads as u64 * 48_000_000,
        }
    }
}

/// The computation panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

impl Pool {
    /// A pool of this size; zeros count as one.
    pub fn new(size: PoolSize) -> Self {
        // Fits: the quotient is clamped to `u32`, and semaphores take more than that on 64 bits.
        let pixel_permits = (size.pixels / PIXELS_PER_PERMIT).clamp(1, u32::MAX.into()) as u32;
        Self {
            files: Arc::new(Semaphore::new(size.files.max(1))),
            pixels: Arc::new(Semaphore::new(pixel_permits as usize)),
            pixel_permits,
            threads: Arc::new(Semaphore::new(size.threads.max(1))),
            size,
        }
    }

    pub fn size(&self) -> PoolSize {
        self.size
    }

    /// A place for one file's bytes, as long as the permit is held.
    pub(crate) async fn file(&self) -> OwnedSemaphorePermit {
        let files = Arc::clone(&self.files);
        files.acquire_owned().await.expect("it is never closed")
    }

    /// Computes something that decodes so many pixels. The permits go with the work: it cannot be stopped, so when whoever waits
    /// is gone it still counts.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        pixels: u64,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let permits = pixels.div_ceil(PIXELS_PER_PERMIT);
        // At most `pixel_permits`, which is `u32`.
        let permits = permits.clamp(1, self.pixel_permits.into()) as u32;
        let held = Arc::clone(&self.pixels);
        let memory = held.acquire_many_owned(permits).await;
        let thread = Arc::clone(&self.threads).acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _held = (memory, thread);
            work()
        });
        done.await.map_err(|_| Panicked)
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(PoolSize::default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Barrier, mpsc};

    use futures::future::join_all;

    use super::*;

    fn pool(threads: usize, pixels: u64) -> Pool {
        Pool::new(PoolSize {
            threads,
            files: 4,
            pixels,
        })
    }

    /// Runs ten computations of so many pixels. The most that ran at once.
    async fn most_at_once(pool: &Pool, pixels: u64) -> usize {
        let running = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let computed = (0..10).map(|_| {
            let running = Arc::clone(&running);
            pool.compute(pixels, move || {
                let now = running.0.fetch_add(1, Ordering::SeqCst) + 1;
                running.1.fetch_max(now, Ordering::SeqCst);
                std::thread::yield_now();
                running.0.fetch_sub(1, Ordering::SeqCst);
            })
        });
        assert!(join_all(computed).await.iter().all(Result::is_ok));
        running.1.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn all_threads_are_used() {
        let pool = pool(3, 100_000_000);
        // None of the three goes on before all have begun.
        let barrier = Arc::new(Barrier::new(3));
        let together = (0..3).map(|_| {
            let barrier = Arc::clone(&barrier);
            pool.compute(1, move || barrier.wait().is_leader())
        });
        let leaders = join_all(together)
            .await
            .into_iter()
            .filter(|leads| *leads == Ok(true));
        assert_eq!(leaders.count(), 1);
    }

    #[tokio::test]
    async fn no_more_run_than_threads_and_pixels_allow() {
        assert!(most_at_once(&pool(2, 100_000_000), 1).await <= 2);
        assert!(most_at_once(&pool(8, 20_000_000), 10_000_000).await <= 2);
        // More than fits at all: alone, but not never.
        assert_eq!(most_at_once(&pool(8, 20_000_000), 90_000_000).await, 1);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_still_counts() {
        let pool = pool(1, 1_000_000);
        let (begun, has_begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let abandoned = tokio::spawn({
            let pool = pool.clone();
            async move {
                let work = move || {
                    begun.send(()).unwrap();
                    released.recv().is_err()
                };
                pool.compute(1, work).await
            }
        });
        tokio::task::spawn_blocking(move || has_begun.recv())
            .await
            .unwrap()
            .unwrap();
        abandoned.abort();
        assert!(abandoned.await.unwrap_err().is_cancelled());
        assert_eq!(pool.threads.available_permits(), 0);
        drop(release);
        assert_eq!(pool.compute(1, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_is_told_and_leaves_its_place_free() {
        let pool = pool(1, 1_000_000);
        assert_eq!(
            pool.compute(1, || panic!("a decoder's bug")).await,
            Err::<(), _>(Panicked)
        );
        assert_eq!(pool.compute(1, || 7).await, Ok(7));
    }
}
