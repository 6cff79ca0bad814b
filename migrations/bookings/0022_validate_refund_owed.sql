-- no-transaction
-- In a transaction of its own: no sale waits while the bookings are read.
alter table booking validate constraint booking_refund_within;
