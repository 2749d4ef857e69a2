package loadtest

import (
	"encoding/json"

	"livecart/proto"
)

// historyState is what the checks of a run need of a History from elsewhere: all but the newest state of
// own orders and balance, which its owner compares.
type historyState struct {
	Comments   map[string]int   `json:"comments,omitempty"`
	Sampled    int              `json:"sampled,omitempty"`
	Skipped    int              `json:"skipped,omitempty"`
	WelcomeSeq int64            `json:"welcome_seq"`
	Numbered   []int64          `json:"numbered,omitempty"`
	Events     map[string]int   `json:"events,omitempty"`
	Sold       map[string]int64 `json:"sold,omitempty"`
	SoldOut    map[string]bool  `json:"sold_out,omitempty"`
	Tips       map[string]int   `json:"tips,omitempty"`
	Moves      map[string]int   `json:"moves,omitempty"`
	Likes      int64            `json:"likes"`
	HeadSeq    int64            `json:"head_seq"`
	Losses     []string         `json:"losses,omitempty"`
	Closes     map[int]int      `json:"closes,omitempty"`
	Frames     int              `json:"frames"`
}

// MarshalJSON returns what was told, for [History.UnmarshalJSON] in another process.
func (h *History) MarshalJSON() ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return json.Marshal(historyState{
		Comments: h.comments, Sampled: h.sampled, Skipped: h.skipped, WelcomeSeq: h.welcomeSeq, Numbered: h.numbered, Events: h.events,
		Sold: h.sold, SoldOut: h.soldOut, Tips: h.tips, Moves: h.moves, Likes: h.stats.GetLikes(), HeadSeq: h.stats.GetHeadSeq(),
		Losses: h.losses, Closes: h.closes, Frames: h.frames,
	})
}

// UnmarshalJSON takes in what MarshalJSON of another one returned. It must be called before anything else.
func (h *History) UnmarshalJSON(data []byte) error {
	var s historyState
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	h.comments, h.sampled, h.skipped, h.welcomeSeq, h.numbered, h.events = s.Comments, s.Sampled, s.Skipped, s.WelcomeSeq, s.Numbered, s.Events
	h.sold, h.soldOut, h.tips, h.moves, h.stats = s.Sold, s.SoldOut, s.Tips, s.Moves, &proto.RoomStats{Likes: s.Likes, HeadSeq: s.HeadSeq}
	h.losses, h.closes, h.frames = s.Losses, s.Closes, s.Frames
	return nil
}
