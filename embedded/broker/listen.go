package broker

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"cortex/events"
)

// What guests – NATS clients on this machine that are not ours – may use. They are in
// an account of their own: nothing of ours is in it but what [Broker.tell] says there,
// so no subject that a guest names, to publish or to be answered, reaches us.
const (
	guestFacts = "cortex.facts." // and HOST.NOUN.ID.KIND, as facts are stored
	guestRead  = "cortex.read"   // asked with {"after":N}, answered with lines of JSON
	guestInbox = "_INBOX."       // where guests are answered

	maxGuests     = 256
	guestPage     = 256     // events in one answer
	guestPageSize = 1 << 20 // bytes, unless one event alone is longer
)

// guests decides who a client of our server is: we show a word that nobody else
// knows, and everybody else is a guest.
type guests struct {
	word, teller string
	account      atomic.Pointer[server.Account]
}

func newGuests() *guests { return &guests{word: rand.Text(), teller: rand.Text()} }

var _ server.Authentication = (*guests)(nil)

// Check implements [server.Authentication].
func (g *guests) Check(c server.ClientAuthentication) bool {
	account := g.account.Load()
	switch c.GetOpts().Token {
	case g.word:
		c.RegisterUser(&server.User{Username: "cortex"})
		return true
	case g.teller:
		c.RegisterUser(&server.User{Username: "teller", Account: account, Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{guestFacts + ">", guestInbox + ">"}},
			Subscribe: &server.SubjectPermission{Allow: []string{guestRead}},
		}})
		return account != nil
	}
	c.RegisterUser(&server.User{Username: "guest", Account: account, Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{guestRead}},
		Subscribe: &server.SubjectPermission{Allow: []string{guestFacts + ">", guestInbox + ">"}},
	}})
	return account != nil
}

// listenAt has the server listen for guests.
func (g *guests) listenAt(opts *server.Options, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if opts.Port, err = strconv.Atoi(port); err != nil {
		return err
	}
	free, err := net.Listen("tcp", address) // the server itself would only be silent
	if err != nil {
		return err
	}
	free.Close()
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	opts.Host, opts.DontListen, opts.CustomClientAuthentication = host, false, g
	opts.MaxConn = maxGuests
	return nil
}

// admit lets guests in, once the server runs.
func (g *guests) admit(s *server.Server) {
	account, _ := s.LookupOrRegisterAccount("GUESTS")
	g.account.Store(account)
}

// tell tells guests of every fact from now on, and answers what they ask, until the
// broker is closed.
func (b *Broker) tell(g *guests) error {
	conn, err := nats.Connect("", nats.InProcessServer(b.engine.srv), nats.Name("cortex-teller"), nats.NoReconnect(), nats.Token(g.teller))
	if err != nil {
		return &events.Error{Op: "broker.tell", Kind: events.ErrUnavailable, Err: err}
	}
	asked := make(chan *nats.Msg, maxGuests)
	if _, err := conn.ChanSubscribe(guestRead, asked); err != nil {
		conn.Close()
		return &events.Error{Op: "broker.tell", Kind: events.ErrUnavailable, Err: err}
	}
	b.wg.Go(func() {
		defer conn.Close()
		for {
			select {
			case m := <-asked:
				b.answer(conn, m)
			case <-b.ctx.Done():
				return
			}
		}
	})
	after := b.log.headNow().Position
	b.wg.Go(func() {
		for r, err := range b.log.Follow(b.ctx, events.Query{After: after}) {
			if err != nil {
				return // we are being closed, or the log is damaged and says so elsewhere
			}
			if body, err := json.Marshal(r); err == nil {
				_ = conn.Publish(guestFacts+strings.TrimPrefix(events.FactSubject(r.Event), "cortex.evt."), body)
			}
		}
	})
	return nil
}

// answer gives a guest a page of facts behind the position it has; none is an empty
// answer.
func (b *Broker) answer(conn *nats.Conn, m *nats.Msg) {
	if !strings.HasPrefix(m.Reply, guestInbox) {
		return
	}
	reply := &nats.Msg{Subject: m.Reply, Header: nats.Header{}}
	var ask struct {
		After events.Position `json:"after"`
	}
	var page bytes.Buffer
	var err error
	if len(m.Data) > 0 {
		if err = json.Unmarshal(m.Data, &ask); err != nil {
			err = fmt.Errorf(`ask with {"after":POSITION}: %w`, err)
		}
	}
	if err == nil {
		err = b.page(&page, ask.After)
	}
	if err != nil {
		reply.Header.Set("Error", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	reply.Data = page.Bytes()
	_ = conn.PublishMsg(reply)
}

// page writes facts as lines.
func (b *Broker) page(w *bytes.Buffer, after events.Position) error {
	n := 0
	for r, err := range b.log.Read(b.ctx, events.Query{After: after}) {
		if err != nil {
			return err
		}
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if n > 0 && w.Len()+len(line) >= guestPageSize {
			break
		}
		w.Write(line)
		w.WriteByte('\n')
		if n++; n == guestPage {
			break
		}
	}
	return nil
}

// Listening is where guests connect, HOST:PORT; "" when nobody may.
func (b *Broker) Listening() string {
	if b.cfg.Listen == "" || b.engine.srv == nil {
		return ""
	}
	return b.engine.srv.Addr().String()
}
