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

// The subjects and limits of clients, which are other programs that connect to
// Config.Listen. Clients have an account of their own. It contains only the facts and
// answers that [Broker.serveClients] publishes. So no subject that a client publishes to, or
// names as a reply subject, reaches the streams.
const (
	clientFactsPrefix = "cortex.facts." // followed by HOST.NOUN.ID.KIND, as in the facts stream
	clientReadSubject = "cortex.read"   // the request is {"after":N}, the answer is JSON lines
	clientInboxPrefix = "_INBOX."       // reply subjects of clients

	maxClients       = 256
	clientPageEvents = 256     // events in one answer
	clientPageBytes  = 1 << 20 // bytes in one answer, unless a single event is longer
)

// clientAuth authenticates connections to the server. The broker's own connections present
// random tokens; every other connection is a client.
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
		c.RegisterUser(&server.User{Username: "publisher", Account: account, Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{clientFactsPrefix + ">", clientInboxPrefix + ">"}},
			Subscribe: &server.SubjectPermission{Allow: []string{clientReadSubject}},
		}})
		return account != nil
	}
	c.RegisterUser(&server.User{Username: "client", Account: account, Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{clientReadSubject}},
		Subscribe: &server.SubjectPermission{Allow: []string{clientFactsPrefix + ">", clientInboxPrefix + ">"}},
	}})
	return account != nil
}

// configureListener lets the server listen on address.
func (g *clientAuth) configureListener(opts *server.Options, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if opts.Port, err = strconv.Atoi(port); err != nil {
		return err
	}
	free, err := net.Listen("tcp", address) // the server does not report that an address is in use
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

// enableClients accepts clients from now on. Until then the server refuses them.
func (g *clientAuth) enableClients(s *server.Server) {
	account, _ := s.LookupOrRegisterAccount("CLIENTS")
	g.account.Store(account)
}

// serveClients publishes every new fact to clients and answers their requests, until the
// broker is closed.
func (b *Broker) serveClients(g *clientAuth) error {
	conn, err := nats.Connect("", nats.InProcessServer(b.engine.srv), nats.Name("cortex-publisher"), nats.NoReconnect(), nats.Token(g.publisherToken))
	if err != nil {
		return &events.Error{Op: "natslog.serveClients", Kind: events.ErrUnavailable, Err: err}
	}
	asked := make(chan *nats.Msg, maxClients)
	if _, err := conn.ChanSubscribe(clientReadSubject, asked); err != nil {
		conn.Close()
		return &events.Error{Op: "natslog.serveClients", Kind: events.ErrUnavailable, Err: err}
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
				return // the broker is closing, or the log is damaged, which Health reports
			}
			if body, err := json.Marshal(r); err == nil {
				_ = conn.Publish(clientFactsPrefix+strings.TrimPrefix(events.FactSubject(r.Event), "cortex.evt."), body)
			}
		}
	})
	return nil
}

// answerRead answers a client's request with the facts after a position. The answer is
// empty when there are none.
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
			err = fmt.Errorf(`invalid request, use {"after":POSITION}: %w`, err)
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

// writePage writes facts as JSON lines, up to the limits of one answer.
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

// ListenAddr returns the HOST:PORT for clients, and "" when the server does not listen.
func (b *Broker) ListenAddr() string {
	if b.cfg.Listen == "" || b.engine.srv == nil {
		return ""
	}
	return b.engine.srv.Addr().String()
}
