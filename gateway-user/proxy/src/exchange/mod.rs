//! One request from its head to its outcome: route, admit, dispatch to a backend, attempts, delivery, or a local reply.

mod admit;
pub(crate) mod attempt;
pub(crate) mod deliver;
mod dispatch;
mod half_close;
mod outcome;
mod redirect;
pub(crate) mod route;

use gateway_snapshot::Action;

pub(crate) use outcome::{Done, Ended, LocalReply, Outcome};

use crate::Reason;
use crate::h1::scratch::Scratch;
use crate::h1::server::{Head, ServerConnection};
use crate::observe::record::RequestRecord;

/// Routes a request and does what its rule says.
pub(crate) async fn serve(
    conn: &mut ServerConnection,
    scratch: &mut Scratch,
    record: &mut RequestRecord,
    head: &Head,
) -> Ended {
    record.version = Some(head.meta.version);
    let found = route::route(&conn.info, conn.received(), scratch, record).await;
    let (found, counted) = match admit::admit(&conn.info, found) {
        Ok(admitted) => admitted,
        Err(reason) => return Outcome::reply(reason).into(),
    };
    // Counted until the response is out, or the connection is lost.
    record.counted = Some(counted);
    match &found.routed.clone().rule.action {
        Action::Redirect(redirect) => {
            redirect::reply(&conn.info, conn.received(), scratch, redirect, found).into()
        }
        Action::Forward(picker) => {
            let target = picker.pick(conn.info.context.random.next());
            dispatch::forward(conn, scratch, record, head, found, target).await
        }
        // Told from the others when the rule was found.
        Action::Fail(error) => Outcome::reply(Reason::Failure(error.kind)).into(),
    }
}
