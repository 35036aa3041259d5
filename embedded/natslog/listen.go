package natslog

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
// an account of their own: nothing of ours is in it but what [Broker.serveClients] says there,
// so no subject that a guest names, to publish or to be answered, reaches us.
const (
	clientFactsPrefix = "cortex.facts." // and HOST.NOUN.ID.KIND, as facts are stored
	clientReadSubject = "cortex.read"   // asked with {"after":N}, answered with lines of JSON
	clientInboxPrefix = "_INBOX."       // where guests are answered

	maxClients       = 256
	clientPageEvents = 256     // events in one answer
	clientPageBytes  = 1 << 20 // bytes, unless one event alone is longer
)

// clientAuth decides who a client of our server is: we show a word that nobody else
// knows, and everybody else is a guest.
type clientAuth struct {
	ownToken, publisherToken string
	account                  atomic.Pointer[server.Account]
}

func newClientAuth() *clientAuth {
	return &clientAuth{ownToken: rand.Text(), publisherToken: rand.Text()}
}

var _ server.Authentication = (*clientAuth)(nil)

// Check implements [server.Authentication].
func (g *clientAuth) Check(c server.ClientAuthentication) bool {
	account := g.account.Load()
	switch c.GetOpts().Token {
	case g.ownToken:
		c.RegisterUser(&server.User{Username: "cortex"})
		return true
	case g.publisherToken:
		c.RegisterUser(&server.User{Username: "teller", Account: account, Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{clientFactsPrefix + ">", clientInboxPrefix + ">"}},
			Subscribe: &server.SubjectPermission{Allow: []string{clientReadSubject}},
		}})
		return account != nil
	}
	c.RegisterUser(&server.User{Username: "guest", Account: account, Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{clientReadSubject}},
		Subscribe: &server.SubjectPermission{Allow: []string{clientFactsPrefix + ">", clientInboxPrefix + ">"}},
	}})
	return account != nil
}

// configureListener has the server listen for guests.
func (g *clientAuth) configureListener(opts *server.Options, address string) error {
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
	opts.MaxConn = maxClients
	return nil
}

// enableClients lets guests in, once the server runs.
func (g *clientAuth) enableClients(s *server.Server) {
	account, _ := s.LookupOrRegisterAccount("GUESTS")
	g.account.Store(account)
}

// serveClients tells guests of every fact from now on, and answers what they ask, until the
// broker is closed.
func (b *Broker) serveClients(g *clientAuth) error {
	conn, err := nats.Connect("", nats.InProcessServer(b.engine.srv), nats.Name("cortex-teller"), nats.NoReconnect(), nats.Token(g.publisherToken))
	if err != nil {
		return &events.Error{Op: "natslog.tell", Kind: events.ErrUnavailable, Err: err}
	}
	asked := make(chan *nats.Msg, maxClients)
	if _, err := conn.ChanSubscribe(clientReadSubject, asked); err != nil {
		conn.Close()
		return &events.Error{Op: "natslog.tell", Kind: events.ErrUnavailable, Err: err}
	}
	b.wg.Go(func() {
		defer conn.Close()
		for {
			select {
			case m := <-asked:
				b.answerRead(conn, m)
			case <-b.ctx.Done():
				return
			}
		}
	})
	after := b.log.currentHead().Position
	b.wg.Go(func() {
		for r, err := range b.log.Follow(b.ctx, events.Query{After: after}) {
			if err != nil {
				return // we are being closed, or the log is damaged and says so elsewhere
			}
			if body, err := json.Marshal(r); err == nil {
				_ = conn.Publish(clientFactsPrefix+strings.TrimPrefix(events.FactSubject(r.Event), "cortex.evt."), body)
			}
		}
	})
	return nil
}

// answerRead gives a guest a page of facts behind the position it has; none is an empty
// answer.
func (b *Broker) answerRead(conn *nats.Conn, m *nats.Msg) {
	if !strings.HasPrefix(m.Reply, clientInboxPrefix) {
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
		err = b.writePage(&page, ask.After)
	}
	if err != nil {
		reply.Header.Set("Error", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	reply.Data = page.Bytes()
	_ = conn.PublishMsg(reply)
}

// writePage writes facts as lines.
func (b *Broker) writePage(w *bytes.Buffer, after events.Position) error {
	n := 0
	for r, err := range b.log.Read(b.ctx, events.Query{After: after}) {
		if err != nil {
			return err
		}
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if n > 0 && w.Len()+len(line) >= clientPageBytes {
			break
		}
		w.Write(line)
		w.WriteByte('\n')
		if n++; n == clientPageEvents {
			break
		}
	}
	return nil
}

// ListenAddr is where guests connect, HOST:PORT; "" when nobody may.
func (b *Broker) ListenAddr() string {
	if b.cfg.Listen == "" || b.engine.srv == nil {
		return ""
	}
	return b.engine.srv.Addr().String()
}
