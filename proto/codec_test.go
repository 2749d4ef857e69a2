package proto_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"livecart/proto"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenServerFrame holds what clients outside this repository rely on: names, 64-bit integers as
// strings in JSON, enums by their prefixed name.
func goldenServerFrame() *proto.ServerFrame {
	host := &proto.User{Id: "h1", Name: "主播小美", Role: proto.Role_ROLE_HOST}
	return &proto.ServerFrame{
		Events: []*proto.Event{
			{Seq: 7, TimeMs: 1_790_000_000_123, Event: &proto.Event_RoomState{RoomState: &proto.RoomState{
				Room: &proto.Room{Id: "demo", Title: "Tea evening", Phase: proto.RoomPhase_ROOM_PHASE_LIVE, Host: host, Version: 3},
			}}},
			{TimeMs: 1_790_000_000_124, Event: &proto.Event_ChatMessage{ChatMessage: &proto.ChatMessage{
				Id: "msg_1", User: &proto.User{Id: "v1", Name: "Ann", Role: proto.Role_ROLE_VIEWER}, Text: "好喝吗? <b>", TimeMs: 1_790_000_000_124,
			}}},
			{TimeMs: 1_790_000_000_125, Event: &proto.Event_GiftSent{GiftSent: &proto.GiftSent{
				TipIds: []string{"tip_1"}, User: host, GiftId: "rose", Delta: 2, ComboId: "c1", ComboCount: 12, ComboEndMs: 1_790_000_003_125, Beans: 2, Tier: 1,
			}}},
			{TimeMs: 1_790_000_000_126, Event: &proto.Event_FlashStock{FlashStock: &proto.FlashStock{
				SaleId: "sale_1", Available: 9, Held: 1, Epoch: 2, Rev: 41, Paused: true,
			}}},
			{Seq: 8, TimeMs: 1_790_000_000_127, Event: &proto.Event_FlashSoldOut{FlashSoldOut: &proto.FlashSoldOut{SaleId: "sale_1"}}},
		},
		Replies: []*proto.Reply{
			{RequestId: "a", Result: &proto.Reply_Ok{Ok: &proto.Ok{Value: &proto.Ok_Order{Order: &proto.Order{
				Id: "ord_1", State: proto.OrderState_ORDER_STATE_AWAITING_PAYMENT, Amount: 9_900, Currency: "CNY", Version: 1,
			}}}}},
			{RequestId: "b", Result: &proto.Reply_Error{Error: proto.Wire(proto.Refuse(proto.ReasonSoldOut, "nothing is left"))}},
		},
		Sampled: 3,
		Skipped: 2,
	}
}

func goldenClientFrame() *proto.ClientFrame {
	return &proto.ClientFrame{Commands: []*proto.Command{
		{RequestId: "r1", Command: &proto.Command_ChatSend{ChatSend: &proto.ChatSend{Text: "hello"}}},
		{RequestId: "r2", Command: &proto.Command_FlashBuy{FlashBuy: &proto.FlashBuy{SaleId: "sale_1", Quantity: 2}}},
		{RequestId: "r3", Command: &proto.Command_GiftSend{GiftSend: &proto.GiftSend{GiftId: "rose", Count: 10, ComboId: "c1"}}},
		{RequestId: "r4", Command: &proto.Command_SessionResume{SessionResume: &proto.SessionResume{AfterSeq: 9_007_199_254_740_993}}},
	}}
}

func TestGoldenBytes(t *testing.T) {
	frames := map[string]proto.Message{"server_frame": goldenServerFrame(), "client_frame": goldenClientFrame()}
	for name, frame := range frames {
		for f, ext := range map[proto.Format]string{proto.Binary: "bin", proto.JSON: "json"} {
			t.Run(name+"."+ext, func(t *testing.T) {
				got, err := proto.Encode(f, frame)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join("testdata", name+"."+ext)
				if *update {
					if err := os.WriteFile(path, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != string(want) {
					t.Errorf("bytes changed; clients rely on them\n got %q\nwant %q", got, want)
				}
				back := frame.ProtoReflect().New().Interface()
				if err := proto.Decode(f, want, back); err != nil {
					t.Fatal(err)
				}
				if !proto.Equal(frame, back) {
					t.Errorf("decoded to %v", back)
				}
			})
		}
	}
}

func TestDecodeClientLimits(t *testing.T) {
	commands := func(n int) []byte {
		return []byte(`{"commands":[` + strings.TrimSuffix(strings.Repeat(`{"ping":{}},`, n), ",") + `]}`)
	}
	padded := func(size int) []byte {
		head, tail := `{"commands":[{"request_id":"a","chat_send":{"text":"`, `"}}]}`
		return []byte(head + strings.Repeat("x", size-len(head)-len(tail)) + tail)
	}
	id := func(n int) []byte {
		return []byte(`{"commands":[{"request_id":"` + strings.Repeat("号", n) + `","ping":{}}]}`)
	}
	tests := []struct {
		name   string
		format proto.Format
		data   []byte
		ok     bool
	}{
		{"no command", proto.JSON, []byte(`{}`), true},
		{"empty binary", proto.Binary, nil, true},
		{"most commands", proto.JSON, commands(proto.MaxCommands), true},
		{"one command too many", proto.JSON, commands(proto.MaxCommands + 1), false},
		{"largest frame", proto.JSON, padded(proto.MaxClientFrame), true},
		{"one byte too large", proto.JSON, padded(proto.MaxClientFrame + 1), false},
		{"longest request_id", proto.JSON, id(proto.MaxRequestID), true},
		{"request_id too long", proto.JSON, id(proto.MaxRequestID + 1), false},
		{"camel case spelling", proto.JSON, []byte(`{"commands":[{"requestId":"a","chatSend":{"text":"x"}}]}`), true},
		{"unknown field", proto.JSON, []byte(`{"from_the_future":1,"commands":[{"ping":{"x":[1]}}]}`), true},
		{"not json", proto.JSON, []byte(`{"commands":`), false},
		{"wrong type", proto.JSON, []byte(`{"commands":[{"flash_buy":{"quantity":"many"}}]}`), false},
		{"overflowing number", proto.JSON, []byte(`{"commands":[{"flash_buy":{"quantity":4294967296}}]}`), false},
		{"two kinds in one command", proto.JSON, []byte(`{"commands":[{"ping":{},"wallet_get":{}}]}`), false},
		{"array as frame", proto.JSON, []byte(`[]`), false},
		{"deep nesting", proto.JSON, []byte(`{"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`), false},
		{"cut binary", proto.Binary, []byte{0x0a, 0x05, 0x0a}, false},
		{"invalid UTF-8", proto.Binary, []byte{0x0a, 0x03, 0x0a, 0x01, 0xff}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := proto.DecodeClient(tt.format, tt.data)
			if tt.ok {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, proto.Refuse(proto.ReasonMalformedFrame, "")) {
				t.Fatalf("got %v, want malformed_frame", err)
			}
		})
	}
}

func TestUnknownCommandKeepsItsRequestID(t *testing.T) {
	frame, err := proto.DecodeClient(proto.JSON, []byte(`{"commands":[{"request_id":"a","teleport":{"to":"mars"}},{"request_id":"b","ping":{}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := frame.Commands[0]; got.RequestId != "a" || got.Kind() != "" {
		t.Errorf("unknown command read as %q %q", got.RequestId, got.Kind())
	}
	if got := frame.Commands[1]; got.RequestId != "b" || got.Kind() != "ping" {
		t.Errorf("known command read as %q %q", got.RequestId, got.Kind())
	}
}

// TestTimesAndEnumsKeepTheirForm holds the schema to its own rules: Unix milliseconds are int64
// with the suffix _ms, and JSON enum names carry their type as prefix.
func TestTimesAndEnumsKeepTheirForm(t *testing.T) {
	var check func(m protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool)
	check = func(m protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) {
		if seen[m.FullName()] {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			name := string(f.Name())
			if strings.HasSuffix(name, "_ms") && f.Kind() != protoreflect.Int64Kind {
				t.Errorf("%s is %s, times are int64", f.FullName(), f.Kind())
			}
			if strings.HasSuffix(name, "_at") || strings.HasSuffix(name, "_time") {
				t.Errorf("%s carries no unit", f.FullName())
			}
			if e := f.Enum(); e != nil {
				zero := string(e.Values().Get(0).Name())
				prefix := strings.TrimSuffix(zero, "UNSPECIFIED")
				for j := range e.Values().Len() {
					if v := string(e.Values().Get(j).Name()); !strings.HasPrefix(v, prefix) || prefix == zero {
						t.Errorf("%s of %s has no common prefix", v, e.FullName())
					}
				}
			}
			if f.Message() != nil {
				check(f.Message(), seen)
			}
		}
	}
	seen := map[protoreflect.FullName]bool{}
	check((&proto.ServerFrame{}).ProtoReflect().Descriptor(), seen)
	check((&proto.ClientFrame{}).ProtoReflect().Descriptor(), seen)
}

func TestFormatOf(t *testing.T) {
	for want, s := range proto.Subprotocols {
		if got, ok := proto.FormatOf(s); !ok || got != proto.Format(want) || got.String() != s {
			t.Errorf("FormatOf(%q) = %v, %v", s, got, ok)
		}
	}
	if _, ok := proto.FormatOf("livecart.v2.proto"); ok {
		t.Error("an unknown subprotocol was taken")
	}
}
