package natslog_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"cortex/embedded/natslog"
	"cortex/events"
	"cortex/events/logtest"
)

// client connects anonymously.
func client(t *testing.T, b *natslog.Broker, opts ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect("nats://"+b.ListenAddr(), append(opts, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	check(t, err)
	t.Cleanup(conn.Close)
	return conn
}

func TestListenClientReceivesEveryFact(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true, Listen: "127.0.0.1:0"})
	fill(t, b.Log(), 700)
	conn := client(t, b)
	live, err := conn.SubscribeSync("cortex.facts.>")
	check(t, err)
	check(t, conn.Flush())
	for i := range 5 {
		r := logtest.Append(t, b.Log(), logtest.NewTransaction(), &events.Cancelled{})
		m, err := live.NextMsg(deliveryTimeout)
		for ; err == nil && !strings.Contains(m.Subject, r.Subject.String()); m, err = live.NextMsg(deliveryTimeout) {
			if i > 0 { // older facts may still arrive at first
				t.Fatalf("received %s", m.Subject)
			}
		}
		check(t, err)
		want, err := json.Marshal(r)
		check(t, err)
		if !bytes.Equal(m.Data, want) || m.Subject != "cortex.facts."+events.FactSubject(r.Event)[len("cortex.evt."):] {
			t.Fatalf("%d: %s %s, want %s", i, m.Subject, m.Data, want)
		}
	}
	var got []events.Position
	for after, more := events.Position(0), true; more; {
		ask, err := json.Marshal(map[string]any{"after": after})
		check(t, err)
		m, err := conn.Request("cortex.read", ask, deliveryTimeout)
		check(t, err)
		more = false
		for line := range bytes.Lines(m.Data) {
			var e struct{ Position events.Position }
			check(t, json.Unmarshal(line, &e))
			got = append(got, e.Position)
			after, more = e.Position, true
		}
	}
	for i, p := range got {
		if p != events.Position(i+1) {
			t.Fatalf("fact %d is at %d", i+1, p)
		}
	}
	if len(got) != 706 {
		t.Errorf("%d facts were read", len(got))
	}
	m, err := conn.Request("cortex.read", []byte("x"), deliveryTimeout)
	if err != nil || m.Header.Get("Error") == "" {
		t.Errorf("asked wrongly: %v, %v", m, err)
	}
}

// TestListenClientHasNoOtherAccess tries forbidden operations and checks the log.
func TestListenClientHasNoOtherAccess(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true, Listen: "127.0.0.1:0"})
	fill(t, b.Log(), 3)
	e := logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Approved{How: "forged"})
	ways := map[string][]nats.Option{
		"anonymous": nil, "with a user": {nats.UserInfo("cortex", "cortex")}, "with a token": {nats.Token("cortex")},
	}
	hears := []string{"cortex.evt.>", "cortex.req.>", ">", "$JS.>", "$SYS.>", "_R_.>"}
	forged, err := client(t, b).SubscribeSync("cortex.facts.forged")
	check(t, err)
	for name, opts := range ways {
		t.Run(name, func(t *testing.T) {
			conn := client(t, b, opts...)
			for _, subject := range []string{
				events.FactSubject(e), "cortex.req." + string(b.Host()) + ".install.x", "$JS.API.STREAM.DELETE.CORTEX_EVT",
				"$JS.API.STREAM.PURGE.CORTEX_REQ", "$SYS.REQ.SERVER.PING", "cortex.facts.forged",
			} {
				if m, err := conn.Request(subject, []byte("{}"), 50*time.Millisecond); err == nil {
					t.Errorf("%s was answered: %s", subject, m.Data)
				}
			}
			// Answers go to inboxes of clients only.
			for _, reply := range []string{events.FactSubject(e), "cortex.facts.forged", "$JS.API.STREAM.DELETE.CORTEX_EVT", "cortex.read"} {
				check(t, conn.PublishRequest("cortex.read", reply, []byte("{}")))
			}
			for _, subject := range hears {
				sub, err := conn.SubscribeSync(subject)
				check(t, err)
				check(t, conn.Flush())
				logtest.Append(t, b.Log(), logtest.NewTransaction(), &events.Cancelled{})
				if m, err := sub.NextMsg(30 * time.Millisecond); err == nil {
					t.Errorf("%s received %s", subject, m.Subject)
				}
			}
		})
	}
	if m, err := forged.NextMsg(30 * time.Millisecond); err == nil {
		t.Errorf("a client published to clients: %s", m.Data)
	}
	if got := len(logtest.VerifyAll(t, b.Log())); got != 4+len(ways)*len(hears) {
		t.Errorf("%d facts", got)
	}
	if n := b.Health(t.Context()).Requests.Messages; n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestListenIsOffByDefault(t *testing.T) {
	if a := open(t, natslog.Config{Dir: t.TempDir(), Create: true}).ListenAddr(); a != "" {
		t.Errorf("it listens at %s", a)
	}
	_, err := natslog.Open(t.Context(), natslog.Config{Dir: t.TempDir(), Create: true, Listen: "127.0.0.1:0", Cluster: &natslog.ClusterConfig{URL: "nats://x"}})
	if err == nil {
		t.Error("it listens with a cluster")
	}
	busy := open(t, natslog.Config{Dir: t.TempDir(), Create: true, Listen: "127.0.0.1:0"}).ListenAddr()
	_, err = natslog.Open(t.Context(), natslog.Config{Dir: t.TempDir(), Create: true, Listen: busy})
	if events.KindOf(err) != events.ErrUnavailable || !strings.Contains(err.Error(), busy) {
		t.Errorf("where another listens: %v", err)
	}
}
