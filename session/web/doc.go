// Package web is what people see: the viewer's page, the host's console and the JavaScript SDK under
// them, embedded in the binary and served without a build step.
//
// # Addresses
//
//	/                      leads to the page of Config.Home
//	/rooms/{room}          the viewer's page
//	/host/{room}           the host's console
//	/host/{room}/statement the room's account, to read and to print
//	/static/v<hash>/…      files of this very build, immutable for a year
//	/static/…              the same files under a lasting name, checked again by ETag; product pictures
//	                       and shops that import the SDK (/static/livecart.js) use these
//
// A token arrives in the fragment (#access_token=…), which browsers send to nobody; the page moves it
// out of the address bar into the tab's own storage.
//
// # Promises
//
// Every answer carries a Content-Security-Policy that allows scripts and styles from this origin
// only, so nothing here is inline: no script, no style, no event attribute, no import map. Text that
// people wrote reaches the document as text nodes. Pages use the documented protocol and HTTP API
// alone, through the SDK, and hold nothing of their own on the server.
//
// # Files
//
// page holds the HTML shells. In static: livecart.js and livecart/ are the SDK, which needs no
// library; vendor holds preact and htm with their licences; ui what the pages share; viewer, host and
// statement one file for each part of those pages; i18n the words, with the same keys in each language; demo the
// drawn pictures that the demo shop uses. The SDK's own tests are in sdk and run under Node.
//
// # Hooks for browser tests
//
// Elements that a test needs carry data-testid. Viewer: connection, room-phase, room-cover, online,
// likes, like, balance, language, sign-in-hint, comments, comment, comment-input, comment-send,
// gift-open, gift-<gift id>, gift-count-<n>, gift-send, gift-banner, combo, topup-open, topup-<beans>,
// topup-link, product-card, product-buy, flash-card, flash-price, flash-stock, flash-countdown,
// flash-buy, flash-order, shelf-open, shelf-<product id>, shelf-buy-<product id>, listing-<listing id>,
// order-quantity, order-create, orders-open, order-<order id>, order-state, order-amount,
// order-discount, order-refund, order-shipments, order-receive, order-address, address-<field>,
// order-pay, order-pay-link, order-cancel, sheet-close, toast.
//
// Host: host-connection, host-phase, host-start, host-pause, host-resume, host-end, host-confirm,
// host-figure-<online|peak|visits|unique|likes|sales|tips>, host-comments, host-comment,
// host-comment-delete, host-comment-pin, host-comment-mute, host-pinned, host-unpin,
// host-comment-input, host-comment-send, host-shelf, host-push-<product id>, host-on-show,
// host-sale-product, host-sale-listing, host-sale-price, host-sale-quantity, host-sale-limit,
// host-sale-duration, host-sale-delay, host-sale-start, host-sale-<sale id>, host-sale-stock,
// host-sale-edit, host-sale-save, host-sale-edit-quantity, host-sale-edit-limit, host-sale-extend,
// host-sale-stop, host-orders, host-order-<order id>, host-order-state, host-order-open,
// host-order-<act>, host-order-carrier, host-order-waybill, host-order-pieces-<line>,
// host-order-restock-<answer>, host-order-reason, host-order-amount, host-order-discount,
// host-order-refunded, host-order-shipment, host-statement, statement-final, statement-balanced,
// statement-csv, statement-<scope or figure>, statement-balances.
package web
