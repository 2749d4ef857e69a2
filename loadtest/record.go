package loadtest

// Record is one command of one client and what the client was told: a line of a history file. A
// command that was sent again under its key is one Record a sending.
type Record struct {
	// Client is the user id, Key the request_id, Kind the command ("flash_buy", "order_create",
	// "gift_send").
	Client string `json:"client"`
	Key    string `json:"key"`
	Kind   string `json:"kind"`
	RoomID string `json:"room_id,omitempty"`
	// SaleID and Quantity are a flash_buy's; GiftID and Quantity a gift_send's.
	SaleID   string `json:"sale_id,omitempty"`
	GiftID   string `json:"gift_id,omitempty"`
	Quantity int64  `json:"quantity,omitempty"`
	// SentMs and AnsweredMs are the client's own clock, Unix milliseconds; AnsweredMs is 0 where no
	// answer came.
	SentMs     int64 `json:"sent_ms"`
	AnsweredMs int64 `json:"answered_ms,omitempty"`
	// Outcome is "ok", the reason of a refusal ("sold_out", "pending"), or empty where no answer came.
	Outcome string `json:"outcome,omitempty"`
	// OrderID and TipID are what an "ok" named.
	OrderID string `json:"order_id,omitempty"`
	TipID   string `json:"tip_id,omitempty"`
}
