//! Later attempts at what failed, and sockets for workers that are replaced.

use std::sync::Arc;

use gateway_ir::{Generation, Ir};
use gateway_snapshot::compile_with;

use super::{ReconcileError, Reconciler, here};
use crate::publish::{self, Workers};
use crate::steer::Steer;
use crate::store::StoreView;

impl<W: Workers, S: Steer> Reconciler<W, S> {
    /// True if something failed or was refused that may work without a change of the resources.
    pub fn is_unsettled(&self) -> bool {
        let view = self.view.borrow();
        view.last_error.is_some()
            || view
                .live
                .iter()
                .flat_map(|live| live.refused.iter())
                .any(|rejection| rejection.reason.is_transient())
    }

    /// Tries again what failed or was refused and may work by now: a port that another program held, a worker
    /// that was being replaced. Cheap if there is nothing of that kind.
    pub async fn retry(&mut self, resources: &StoreView) {
        if let Some(pool) = &mut self.pool {
            pool.retry().await;
        }
        self.steer.retry_placeholders();
        let view = Arc::clone(&self.view.borrow());
        let changed = match &view.live {
            Some(live) if view.last_error.is_none() => {
                let wanted = here(self.pool.as_ref(), &live.ir);
                let refused = self.rejections(&wanted, &live.ir, &resources.resources);
                // An address of the node may have come or gone.
                let (endpoints, _) = self.own_ports.without(&self.endpoints, &live.plan);
                refused != *live.refused || endpoints != live.endpoints
            }
            _ => true,
        };
        if changed {
            self.reconcile(resources).await;
        }
    }

    /// Gives a worker that took a dead one's place what is live, and with it its sockets.
    ///
    /// # Errors
    /// There are no sockets, or the worker does not take it. To be tried again: without sockets it does
    /// nothing.
    pub async fn adopt(&mut self, worker: usize) -> Result<(), ReconcileError> {
        let live = self.view.borrow().live.clone();
        let listeners = self.steer.refill(worker)?;
        let one = publish::Only { workers: &self.workers, worker };
        let (generation, snapshot) = match live {
            Some(live) => {
                self.tell(publish::endpoints(&one, &live.endpoints).await);
                (live.generation, live.snapshot)
            }
            // Nothing is steered yet, but the socket has to be in place by then.
            None => (Generation(0), Arc::new(compile_with(&Ir::default(), Generation(0), None))),
        };
        publish::prepare(&one, generation, &snapshot, vec![listeners]).await?;
        self.tell(publish::commit(&one, generation, &[]).await);
        Ok(())
    }
}
