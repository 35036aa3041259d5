package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"cortex/consumers/llm/router"
	"cortex/events"
)

// Limits of the door.
const (
	maxBody        = 1 << 20
	headerTimeout  = 5 * time.Second
	heartbeatEvery = 2 * time.Second
	maxConnections = 256
)

// Daemon is the daemon behind the door. It is safe for concurrent use.
type Daemon interface {
	Host() events.HostID
	// MayChange reports whether uid may change the machine.
	MayChange(uid int) bool
	// Submit stores a request durably and gives its place.
	Submit(ctx context.Context, e events.Event) (events.Position, error)
	Read(ctx context.Context, q events.Query) iter.Seq2[events.Record, error]
	Follow(ctx context.Context, q events.Query) iter.Seq2[events.Record, error]
	// Progress gives the progress of a transaction until ctx is done; then the
	// channel is closed.
	Progress(ctx context.Context, t events.TransactionID) <-chan events.Progress
	// WaitProjected returns once every read model has reached p.
	WaitProjected(ctx context.Context, p events.Position) error
	Head(ctx context.Context) (events.Link, error)
	Status(ctx context.Context) (DaemonStatus, error)
	Replay(ctx context.Context, projection string, verify bool) ([]ReplayResult, error)
	// CollectGarbage drops from the vault what nothing needs; transactions that ended
	// before forget lose what only they need.
	CollectGarbage(ctx context.Context, forget time.Time) (*events.GarbageCollected, error)
	// RecordExternalChanges takes in what the hooks of apt and dpkg wrote down.
	RecordExternalChanges(ctx context.Context) error
	// Ask puts a question to a model, or answers it from the cache; delta receives
	// parts of the answer as they come.
	Ask(ctx context.Context, who events.Actor, q events.Question, delta func(router.Delta)) (events.Reply, error)
	// ModelProvidersStatus tells how the providers of models are; with probe it looks first.
	ModelProvidersStatus(ctx context.Context, probe bool) (ModelProvidersStatus, error)
	// UpdateMemory takes what somebody wants remembered or forgotten about themselves,
	// and gives the place of the fact that says so.
	UpdateMemory(ctx context.Context, who events.Actor, m MemoryChange) (events.Position, error)
	// StartupNotes tells what happened at the start that people should know.
	StartupNotes() []string
	// Stop asks the daemon to leave once nothing runs.
	Stop()
}

// permission is what a caller may do.
type permission int

const (
	permRead   permission = iota // anybody
	permPlan                     // anybody: what changes nothing
	permChange                   // whom the backend lets
	permAsk                      // who pays: the daemon's own user, and whom the backend lets
)

// Authorize is the whole of authorisation.
func Authorize(r permission, mayChange bool) bool {
	switch r {
	case permRead, permPlan:
		return true
	case permChange, permAsk:
		return mayChange
	}
	return false
}

// SocketServer serves a backend.
type SocketServer struct {
	backend           Daemon
	ping              Ping
	logger            *slog.Logger
	server            *http.Server
	connections       atomic.Int64
	connectionChanged chan struct{} // told when open changes
	notesOnce         sync.Once
}

// New returns a door; [SocketServer.Serve] opens it.
func New(b Daemon, build string, pid, uid int, logger *slog.Logger) *SocketServer {
	d := &SocketServer{
		backend: b, logger: logger, connectionChanged: make(chan struct{}, 1),
		ping: Ping{Protocol: ProtocolVersion, Build: build, PID: pid, UID: uid, Host: b.Host()},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/ping", d.guard(permRead, d.getPing))
	mux.HandleFunc("POST /v1/requests", d.guard(permPlan, d.postRequest))
	mux.HandleFunc("GET /v1/events", d.guard(permRead, d.getEvents))
	mux.HandleFunc("GET /v1/wait", d.guard(permRead, d.getWait))
	mux.HandleFunc("GET /v1/status", d.guard(permRead, d.getStatus))
	mux.HandleFunc("POST /v1/replay", d.guard(permChange, d.postReplay))
	mux.HandleFunc("POST /v1/collect", d.guard(permChange, d.postCollect))
	mux.HandleFunc("POST /v1/ask", d.guard(permAsk, d.postAsk))
	mux.HandleFunc("POST /v1/memory", d.guard(permPlan, d.postMemory))
	mux.HandleFunc("GET /v1/models", d.guard(permRead, d.getModels))
	mux.HandleFunc("POST /v1/observe", d.guard(permChange, d.postObserve))
	mux.HandleFunc("POST /v1/stop", d.guard(permChange, d.postStop))
	d.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: 16 << 10,
		ConnContext: withPeer, ConnState: d.trackConnection,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	return d
}

func (d *SocketServer) trackConnection(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		d.connections.Add(1)
	case http.StateClosed, http.StateHijacked:
		d.connections.Add(-1)
	case http.StateActive, http.StateIdle:
		return
	}
	select {
	case d.connectionChanged <- struct{}{}:
	default:
	}
}

// ConnectionCount is how many connections there are; Moved is told when that changes.
func (d *SocketServer) ConnectionCount() int               { return int(d.connections.Load()) }
func (d *SocketServer) ConnectionChanges() <-chan struct{} { return d.connectionChanged }

// Serve answers until ctx is done, then closes what is open.
func (d *SocketServer) Serve(ctx context.Context, l net.Listener) error {
	d.server.BaseContext = func(net.Listener) context.Context { return ctx }
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if d.server.Shutdown(grace) != nil {
			_ = d.server.Close()
		}
	}()
	err := d.server.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		<-done
		return nil
	}
	return err
}

type handler func(w http.ResponseWriter, r *http.Request, who events.Actor) error

// guard establishes who calls and what they may do before anything else.
func (d *SocketServer) guard(need permission, h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		who, ok := peerActor(r)
		var err error
		switch {
		case !ok:
			err = &events.Error{Op: "api.guard", Kind: events.ErrConfirmation, Err: errors.New("the kernel did not say who is calling")}
		case d.connections.Load() > maxConnections:
			err = &events.Error{Op: "api.guard", Kind: events.ErrUnavailable, Err: errors.New("too many connections"), Hint: "try again in a moment"}
		case need == permAsk && who.UID == d.ping.UID:
			err = h(w, r, who)
		case !Authorize(need, d.backend.MayChange(who.UID)):
			err = forbidden(who)
		default:
			err = h(w, r, who)
		}
		if err != nil {
			d.writeError(w, err)
		}
	}
}

func forbidden(who events.Actor) error {
	return &events.Error{Op: "api.guard", Kind: events.ErrConfirmation, Err: fmt.Errorf("user %s may not change this machine", who.User), Hint: "run the command with sudo"}
}

func (d *SocketServer) writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch events.KindOf(err) {
	case events.ErrUsage:
		status = http.StatusBadRequest
	case events.ErrNotFound:
		status = http.StatusNotFound
	case events.ErrConfirmation, events.ErrDenied:
		status = http.StatusForbidden
	case events.ErrConflict, events.ErrStale:
		status = http.StatusConflict
	case events.ErrUnavailable, events.ErrLockBusy:
		status = http.StatusServiceUnavailable
	case events.ErrFull:
		status = http.StatusInsufficientStorage
	case events.ErrInternal, events.ErrCancelled, events.ErrPartial, events.ErrApt, events.ErrInterrupted, events.ErrCorrupt:
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(errorBody{events.FailureOf(err)})
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

func (d *SocketServer) getPing(w http.ResponseWriter, _ *http.Request, who events.Actor) error {
	p := d.ping
	p.MayChange = d.backend.MayChange(who.UID)
	d.notesOnce.Do(func() { p.StartupNotes = d.backend.StartupNotes() }) // told once, to the first who asks
	return writeJSON(w, p)
}

func (d *SocketServer) postRequest(w http.ResponseWriter, r *http.Request, who events.Actor) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return &events.Error{Op: "api.postRequest", Kind: events.ErrUsage, Err: fmt.Errorf("read the request: %w", err)}
	}
	e, req, err := events.ParseRequest(body)
	if err != nil {
		return err
	}
	if req.MayChangeMachine() && !Authorize(permChange, d.backend.MayChange(who.UID)) {
		return forbidden(who)
	}
	e.Actor, e.Host = who, d.backend.Host()
	position, err := d.backend.Submit(r.Context(), e)
	if err != nil {
		return err
	}
	return writeJSON(w, PositionReply{position})
}

func (d *SocketServer) getWait(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	p, err := parsePosition(r, "position")
	if err != nil {
		return err
	}
	if err := d.backend.WaitProjected(r.Context(), p); err != nil {
		return err
	}
	return writeJSON(w, PositionReply{p})
}

func (d *SocketServer) getStatus(w http.ResponseWriter, r *http.Request, who events.Actor) error {
	s, err := d.backend.Status(r.Context())
	if err != nil {
		return err
	}
	s.Ping = d.ping
	s.MayChange = d.backend.MayChange(who.UID)
	return writeJSON(w, s)
}

func (d *SocketServer) postReplay(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	done, err := d.backend.Replay(r.Context(), r.FormValue("projection"), r.FormValue("verify") == "true")
	if err != nil {
		return err
	}
	return writeJSON(w, done)
}

func (d *SocketServer) postCollect(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	var forget time.Time
	if v := r.FormValue("forget"); v != "" {
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			return &events.Error{Op: "api.postCollect", Kind: events.ErrUsage, Subject: "forget", Err: fmt.Errorf("%q is not a time", v)}
		}
		forget = t
	}
	done, err := d.backend.CollectGarbage(r.Context(), forget)
	if err != nil {
		return err
	}
	return writeJSON(w, done)
}

func (d *SocketServer) postObserve(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	if err := d.backend.RecordExternalChanges(r.Context()); err != nil {
		return err
	}
	return writeJSON(w, struct{}{})
}

func (d *SocketServer) postStop(w http.ResponseWriter, _ *http.Request, _ events.Actor) error {
	d.backend.Stop()
	return writeJSON(w, struct{}{})
}

func parsePosition(r *http.Request, name string) (events.Position, error) {
	v := r.FormValue(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil {
		return 0, &events.Error{Op: "api.position", Kind: events.ErrUsage, Subject: name, Err: fmt.Errorf("%q is not a position", v)}
	}
	return events.Position(n), nil
}
