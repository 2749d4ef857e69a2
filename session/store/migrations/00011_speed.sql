-- +goose Up
-- The foreign keys of the rows that a flash order is made of cost more than everything else about it:
-- each is a query of its own a row, and that on the sale locks the hot row once more an order. The rows
-- are written from one list of ids by one statement and nothing deletes an order, a sale or a shop, so
-- they could not fail; the invariant order_rows_have_order looks for what they would have refused.
ALTER TABLE orders DROP CONSTRAINT orders_shop_id_fkey, DROP CONSTRAINT orders_sale_id_fkey;
ALTER TABLE order_line DROP CONSTRAINT order_line_order_id_fkey;
ALTER TABLE order_event DROP CONSTRAINT order_event_order_id_fkey;
ALTER TABLE attempt DROP CONSTRAINT attempt_order_id_fkey;
-- Nothing looks for lines by their sku.
DROP INDEX order_line_sku;
