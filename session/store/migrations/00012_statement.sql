-- +goose Up
-- A room's statement reads the room's tips, and of all that is recorded under its senders' keys, those of
-- its tips.
CREATE INDEX tip_room ON tip (room_id);
