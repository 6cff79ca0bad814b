//! The box office: what the functions that move bookings need beside the booking store.

use std::time::Duration;

use super::Booking;
use crate::notifications::Announcement;
use crate::payments::ChargeFunction;
use runtime::FromConfig;
use runtime::calls::CallError;
use runtime::config::Config;
use stores::broker::{Broker, BrokerError, Message};
use stores::db::Db;

/// Books and settles. Made once, at a function's start.
#[derive(Debug)]
pub struct BoxOffice {
    pub(super) db: Db,
    pub(super) payments: ChargeFunction,
    pub(super) broker: Broker,
    /// The age at which the sweep takes up what nobody finished.
    pub(super) sweep_after: Duration,
    /// The stack that metrics are of.
    pub(super) stack: String,
}

impl FromConfig for BoxOffice {
    async fn from_config(config: &Config) -> Result<Self, runtime::Error> {
        Ok(Self {
            db: Db::from_config(config).await?,
            payments: ChargeFunction::from_config(config).await?,
            broker: Broker::from_config(config).await?,
            sweep_after: config.sweep_after,
            stack: config.stack.clone(),
        })
    }

    fn warm_up(&'static self) {
        self.db.connect_early();
        self.broker.connect_early();
    }
}

impl BoxOffice {
    /// The booking store, for reading it too.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// How payments are made and given back.
    pub fn payments(&self) -> &ChargeFunction {
        &self.payments
    }

    /// Hands the booking's confirmation to the broker. Returns whether the broker has it.
    ///
    /// A broker that is down is no reason to refuse a booking. `confirm` then adds a job, by which the sweep
    /// announces the booking.
    pub(super) async fn announce(&self, booking: &Booking) -> bool {
        match self.publish(booking).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(
                    error = runtime::telemetry::chain(&error),
                    "booking not announced; the sweep announces it"
                );
                false
            }
        }
    }

    pub(super) async fn publish(&self, booking: &Booking) -> Result<(), CallError<BrokerError>> {
        let announcement = Announcement::confirmed(
            booking.booking_id,
            booking.user_id,
            booking.event_id.clone(),
            booking.tickets,
        );
        let (id, kind) = (announcement.id(), announcement.event_type());
        let message = Message::cloud_event(id, kind, &announcement)?;
        self.broker.publish(&message).await
    }
}
