package stack

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestMiniRedisLetsTimePass(t *testing.T) {
	mini, err := StartMiniRedis()
	if err != nil {
		t.Fatal(err)
	}
	defer mini.Close()
	began := time.Now()
	redisDo(t, mini.URL(), "SET", "soon", "x", "PX", 80)
	redisDo(t, mini.URL(), "SET", "later", "x", "EX", 3600)
	for redisDo(t, mini.URL(), "GET", "soon") != "" {
		if time.Since(began) > 5*time.Second {
			t.Fatal("a key of 80 ms is there after 5 s")
		}
		time.Sleep(miniTick)
	}
	options, err := redis.ParseURL(mini.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	left, err := client.PTTL(t.Context(), "later").Result()
	passed := time.Hour - left
	if real := time.Since(began); err != nil || passed <= 0 || passed > real+time.Second {
		t.Errorf("%v passed for a key, %v in truth (%v)", passed, real, err)
	}
}
