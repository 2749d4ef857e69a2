package loadtest

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"livecart/proto"
)

func TestRecordsComeBackAsWritten(t *testing.T) {
	records := []Record{
		{Client: "安\u2028", Key: "k1", Kind: KindFlashBuy, RoomID: "demo", SaleID: "s", Quantity: 2, SentMs: 5, AnsweredMs: 9, Outcome: "ok", OrderID: "o1"},
		{Client: "ann", Key: "k2", Kind: KindFlashBuy, SaleID: "s", Quantity: 1, SentMs: 5},
		{Client: "ann", Key: "k3", Kind: KindOrderCreate, SentMs: 5, AnsweredMs: 5, Outcome: "sold_out"},
		{Client: "bob", Key: "k1", Kind: KindGiftSend, GiftID: "rose", Quantity: 3, SentMs: 5, AnsweredMs: 6, Outcome: "ok", TipID: "t1"},
	}
	var file bytes.Buffer
	if err := WriteRecords(&file, records); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(file.String(), "\n"); n != len(records) {
		t.Errorf("%d lines for %d records", n, len(records))
	}
	got, err := ReadRecords(&file)
	if err != nil || !slices.Equal(got, records) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ReadRecords(strings.NewReader("")); err != nil || len(got) != 0 {
		t.Errorf("an empty file: %v, %v", got, err)
	}
}

const goodLine = `{"client":"ann","key":"k1","kind":"flash_buy","sale_id":"s","quantity":1,"sent_ms":5,"answered_ms":6,"outcome":"ok","order_id":"o1"}`

func TestMalformedRecordsAreRefusedByLine(t *testing.T) {
	without := func(old, new string) string { return strings.Replace(goodLine, old, new, 1) }
	tests := []struct{ name, line, want string }{
		{"no JSON", "sold out", "invalid character"},
		{"empty line", "", "the line is empty"},
		{"cut off", goodLine[:40], "unexpected EOF"},
		{"array", "[]", "cannot unmarshal array"},
		{"two on a line", goodLine + goodLine, "more than one object"},
		{"rubbish behind", goodLine + "}", "more than one object"},
		{"unknown field", without(`"key"`, `"colour":"red","key"`), `unknown field "colour"`},
		{"quantity as text", without(`"quantity":1`, `"quantity":"1"`), "cannot unmarshal string"},
		{"quantity too large", without(`"quantity":1`, `"quantity":9223372036854775808`), "cannot unmarshal number"},
		{"no client", without(`"ann"`, `""`), "client has 1 to 128 bytes"},
		{"client too long", without("ann", strings.Repeat("a", 129)), "client has 1 to 128 bytes"},
		{"no key", without(`"k1"`, `""`), "key has 1 to 64 characters"},
		{"key too long", without("k1", strings.Repeat("k", 65)), "key has 1 to 64 characters"},
		{"unknown kind", without("flash_buy", "flash_steal"), `the kind "flash_steal" is not`},
		{"unknown outcome", without(`"ok","order_id":"o1"`, `"fine"`), `the outcome "fine" is neither ok nor a reason`},
		{"never sent", without(`"sent_ms":5,`, ``), "sent_ms is above 0"},
		{"answered before sent", without(`"answered_ms":6`, `"answered_ms":4`), "answered_ms is before sent_ms"},
		{"outcome without answer", without(`"answered_ms":6,`, ``), "answered_ms and outcome are both"},
		{"answer without outcome", without(`,"outcome":"ok","order_id":"o1"`, ``), "answered_ms and outcome are both"},
		{"ok without order", without(`,"order_id":"o1"`, ``), "the ok of a flash_buy names an order and no tip"},
		{"ok with a tip", without(`"order_id"`, `"tip_id":"t1","order_id"`), "the ok of a flash_buy names an order and no tip"},
		{"refusal with an order", without(`"ok"`, `"sold_out"`), "only an ok names an order or a tip"},
		{"flash_buy of no sale", without(`"sale_id":"s",`, ``), "a flash_buy has a sale_id"},
		{"flash_buy of a gift", without(`"sale_id"`, `"gift_id":"rose","sale_id"`), "a flash_buy has a sale_id and no gift_id"},
		{"order_create of a sale", without("flash_buy", "order_create"), "an order_create has neither sale_id nor gift_id"},
		{"gift_send of a sale", without("flash_buy", "gift_send"), "a gift_send has a gift_id and no sale_id"},
		{"ok of a gift without tip", without(`"flash_buy","sale_id":"s"`, `"gift_send","gift_id":"rose"`), "the ok of a gift_send names a tip"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadRecords(strings.NewReader(goodLine + "\n" + goodLine + "\n" + tt.line + "\n" + goodLine + "\n"))
			if err == nil || got != nil || !strings.HasPrefix(err.Error(), "line 3: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestRecordLinesAreBounded(t *testing.T) {
	longest := goodLine + strings.Repeat(" ", MaxRecordBytes-len(goodLine))
	if got, err := ReadRecords(strings.NewReader(longest + "\n" + longest + "\r\n" + longest)); err != nil || len(got) != 3 {
		t.Errorf("%d records, %v", len(got), err)
	}
	for name, file := range map[string]string{
		"a byte longer":     longest + "\n" + longest + " \n",
		"endless":           longest + "\n" + strings.Repeat("x", 1<<20),
		"a byte at the end": longest + "\n" + longest + " ",
	} {
		if _, err := ReadRecords(strings.NewReader(file)); err == nil || err.Error() != "line 2: a line has at most 8192 bytes" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Everything at its limit and in need of escapes fits.
	r := Record{
		Client: strings.Repeat("\x01", maxUserID), Key: strings.Repeat("\u2028", proto.MaxRequestID), Kind: KindFlashBuy,
		RoomID: strings.Repeat("r", 64), SaleID: strings.Repeat("s", 64), Quantity: 1 << 62, SentMs: 1 << 62, AnsweredMs: 1 << 62, Outcome: "ok", OrderID: strings.Repeat("o", 64),
	}
	var file bytes.Buffer
	if err := WriteRecords(&file, []Record{r}); err != nil || file.Len() > MaxRecordBytes/2 {
		t.Errorf("%d bytes, %v", file.Len(), err)
	}
	if got, err := ReadRecords(&file); err != nil || len(got) != 1 || got[0] != r {
		t.Errorf("%v, %v", got, err)
	}
}

// brokenPipe takes no more than n bytes.
type brokenPipe struct{ n int }

func (p *brokenPipe) Write(b []byte) (int, error) {
	if len(b) > p.n {
		return 0, errors.New("no space left")
	}
	p.n -= len(b)
	return len(b), nil
}

func TestRecorder(t *testing.T) {
	var file bytes.Buffer
	r := NewRecorder(&file)
	var adding sync.WaitGroup
	for range 8 {
		adding.Go(func() {
			for range 50 {
				r.Add(Record{Client: "ann", Key: "k", Kind: KindOrderCreate, SentMs: 1})
			}
		})
	}
	adding.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadRecords(&file); err != nil || len(got) != 400 {
		t.Errorf("%d records, %v", len(got), err)
	}
	full := NewRecorder(&brokenPipe{n: 5000})
	for range 400 {
		full.Add(Record{Client: "ann", Key: "k", Kind: KindOrderCreate, SentMs: 1})
	}
	if err := full.Close(); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a full disk: %v", err)
	}
}

func TestNewRecord(t *testing.T) {
	sent := time.UnixMilli(1000)
	flash := &proto.Command{RequestId: "k", Command: &proto.Command_FlashBuy{FlashBuy: &proto.FlashBuy{SaleId: "s", Quantity: 2}}}
	basket := &proto.Command{RequestId: "k", Command: &proto.Command_OrderCreate{OrderCreate: &proto.OrderCreate{Items: []*proto.OrderItem{{ListingId: "a", Quantity: 2}, {ListingId: "b", Quantity: 3}}}}}
	gift := &proto.Command{RequestId: "k", Command: &proto.Command_GiftSend{GiftSend: &proto.GiftSend{GiftId: "rose", Count: 4}}}
	ok := func(v *proto.Ok) *proto.Reply { return &proto.Reply{Result: &proto.Reply_Ok{Ok: v}} }
	order := ok(&proto.Ok{Value: &proto.Ok_Order{Order: &proto.Order{Id: "o1"}}})
	tip := ok(&proto.Ok{Value: &proto.Ok_GiftSent{GiftSent: &proto.GiftSent{TipIds: []string{"t1"}}}})
	no := &proto.Reply{Result: &proto.Reply_Error{Error: proto.Wire(proto.Refuse(proto.ReasonSoldOut, "sold out"))}}
	tests := []struct {
		name     string
		cmd      *proto.Command
		reply    *proto.Reply
		answered int64
		want     Record
	}{
		{"bought", flash, order, 1007, Record{Kind: KindFlashBuy, SaleID: "s", Quantity: 2, AnsweredMs: 1007, Outcome: "ok", OrderID: "o1"}},
		{"refused", flash, no, 1007, Record{Kind: KindFlashBuy, SaleID: "s", Quantity: 2, AnsweredMs: 1007, Outcome: "sold_out"}},
		{"clock stepped back", flash, no, 900, Record{Kind: KindFlashBuy, SaleID: "s", Quantity: 2, AnsweredMs: 1000, Outcome: "sold_out"}},
		{"no answer", flash, nil, 1007, Record{Kind: KindFlashBuy, SaleID: "s", Quantity: 2}},
		{"ordered", basket, order, 1007, Record{Kind: KindOrderCreate, Quantity: 5, AnsweredMs: 1007, Outcome: "ok", OrderID: "o1"}},
		{"sent", gift, tip, 1007, Record{Kind: KindGiftSend, GiftID: "rose", Quantity: 4, AnsweredMs: 1007, Outcome: "ok", TipID: "t1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Client, tt.want.Key, tt.want.RoomID, tt.want.SentMs = "ann", "k", "demo", 1000
			got, is := NewRecord("ann", "demo", tt.cmd, sent, tt.reply, time.UnixMilli(tt.answered))
			if !is || got != tt.want || got.check() != nil {
				t.Errorf("%+v, %v, %v", got, is, got.check())
			}
		})
	}
	if _, is := NewRecord("ann", "demo", ping(), sent, nil, sent); is {
		t.Error("a ping was recorded")
	}
}
