package bus_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"livecart/proto"
	"livecart/session/bus"
)

// natsCluster starts that many servers that know one another.
func natsCluster(t testing.TB, n int) []*server.Server {
	t.Helper()
	var servers []*server.Server
	var routes []*url.URL
	for i := range n {
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
			Cluster: server.ClusterOpts{Name: "live", Host: "127.0.0.1", Port: server.RANDOM_PORT, PoolSize: -1},
			Routes:  routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() {
			s.Shutdown()
			s.WaitForShutdown()
		})
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("a NATS server did not get ready")
		}
		servers = append(servers, s)
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: s.ClusterAddr().String()})
	}
	waitFor(t, "the servers to know one another", func() bool {
		for _, s := range servers {
			if s.NumRoutes() < n-1 {
				return false
			}
		}
		return true
	})
	return servers
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// gateways subscribe to a room, one at each server; of the other servers they hear from it.
func gateways(t testing.TB, servers []*server.Server, room string, got func(i int, e *proto.RoomEvents)) []*bus.Bus {
	t.Helper()
	var buses []*bus.Bus
	for i := range servers {
		b, err := bus.Connect(t.Context(), bus.Config{URL: servers[i].ClientURL()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		buses = append(buses, b)
		if room != "" {
			sub, err := b.SubscribeRoom(room, func(e *proto.RoomEvents) { got(i, e) })
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = sub.Close() })
		}
	}
	return buses
}

func sent(s *server.Server) int64 {
	v, err := s.Varz(nil)
	if err != nil {
		return -1
	}
	return v.OutMsgs
}

func TestClusterOfServersCarriesRoomsAndOutlivesOne(t *testing.T) {
	servers := natsCluster(t, 3)
	var got [3]chan string
	for i := range got {
		got[i] = make(chan string, 1000)
	}
	buses := gateways(t, servers, "demo", func(i int, e *proto.RoomEvents) {
		for _, ev := range e.Events {
			got[i] <- ev.GetChatMessage().GetText()
		}
	})
	say := func(from int, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if err := buses[from].PublishRoom("demo", comment(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect := func(where []int, texts ...string) {
		t.Helper()
		for _, i := range where {
			for _, text := range texts {
				if heard := receive(t, got[i]); heard != text {
					t.Fatalf("gateway %d heard %q, want %q", i, heard, text)
				}
			}
		}
	}
	// Interest has to reach the other servers first.
	waitFor(t, "all servers to know who listens", func() bool {
		for _, s := range servers {
			if s.NumSubscriptions() < 3 {
				return false
			}
		}
		return true
	})
	var many []string
	for n := range 100 {
		many = append(many, fmt.Sprint("comment ", n))
	}
	say(0, many...)
	expect([]int{0, 1, 2}, many...)

	servers[1].Shutdown()
	servers[1].WaitForShutdown()
	waitFor(t, "the gateway to find another server", func() bool {
		return buses[1].Losses() > 0 && buses[1].Connected()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := buses[1].Flush(ctx); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the others to know where it listens", func() bool {
		return servers[0].NumSubscriptions() >= 3 && servers[2].NumSubscriptions() >= 3
	})
	say(2, "after")
	expect([]int{0, 1, 2}, "after")
	say(1, "from the one that moved")
	expect([]int{0, 1, 2}, "from the one that moved")
}

// A server that has no gateway with viewers of a room is sent nothing of the room.
func TestRoomsTravelWhereTheirViewersAre(t *testing.T) {
	servers := natsCluster(t, 3)
	buses := gateways(t, servers, "", nil)
	known := servers[0].NumSubscriptions()
	heard := make(chan *proto.RoomEvents, 1000)
	sub, err := buses[1].SubscribeRoom("demo", func(e *proto.RoomEvents) { heard <- e })
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the publisher's server to know who listens", func() bool { return servers[0].NumSubscriptions() == known+1 })
	before := [3]int64{sent(servers[0]), sent(servers[1]), sent(servers[2])}
	const n = 200
	for range n {
		if err := buses[0].PublishRoom("demo", comment("x")); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		receive(t, heard)
	}
	// One copy to the server where it is heard, one from there to the gateway, none to the third.
	for i, want := range [3]int64{n, n, 0} {
		if out := sent(servers[i]) - before[i]; out < want || out > want+20 {
			t.Errorf("server %d sent %d messages, want %d", i, out, want)
		}
	}
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the last listener to be forgotten", func() bool { return servers[0].NumSubscriptions() == known })
}

// BenchmarkRoomBytes tells what a comment of 120 bytes costs NATS for each gateway of its room.
func BenchmarkRoomBytes(b *testing.B) {
	for _, n := range []int{1, 3} {
		b.Run(fmt.Sprintf("gateways=%d", n), func(b *testing.B) {
			servers := natsCluster(b, 1)
			done := make(chan struct{}, n)
			all := make([]*server.Server, n)
			for i := range all {
				all[i] = servers[0]
			}
			last := strings.Repeat("z", 120)
			buses := gateways(b, all, "demo", func(_ int, e *proto.RoomEvents) {
				if e.Events[len(e.Events)-1].GetChatMessage().GetText() == last {
					done <- struct{}{}
				}
			})
			text := strings.Repeat("x", 120)
			say := func(text string) {
				ev := &proto.Event{TimeMs: time.Now().UnixMilli(), Event: &proto.Event_ChatMessage{ChatMessage: &proto.ChatMessage{
					Id: "msg_0193e1b0-5c5b-7f27-b6a4-2f6b7f0c8f11", User: &proto.User{Id: "user-1234567", Name: "A viewer", Role: proto.Role_ROLE_VIEWER}, Text: text,
				}}}
				if err := buses[0].PublishRoom("demo", ev); err != nil {
					b.Fatal(err)
				}
			}
			before, err := servers[0].Varz(nil)
			if err != nil {
				b.Fatal(err)
			}
			count := 0
			for b.Loop() {
				say(text)
				count++
			}
			say(last)
			for range n {
				<-done
			}
			after, err := servers[0].Varz(nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(after.OutBytes-before.OutBytes)/float64(count+1)/float64(n), "B/msg/gateway")
		})
	}
}
