package door

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

	"cortex/consumers/llm/route"
	"cortex/events"
)

// Limits of the door.
const (
	maxBody        = 1 << 20
	headerTimeout  = 5 * time.Second
	heartbeatEvery = 2 * time.Second
	maxConnections = 256
)

// Backend is the daemon behind the door. It is safe for concurrent use.
type Backend interface {
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
	Status(ctx context.Context) (Status, error)
	Replay(ctx context.Context, projection string, verify bool) ([]Replayed, error)
	// Collect drops from the vault what nothing needs; transactions that ended
	// before forget lose what only they need.
	Collect(ctx context.Context, forget time.Time) (*events.Collected, error)
	// Observe takes in what the hooks of apt and dpkg wrote down.
	Observe(ctx context.Context) error
	// Ask puts a question to a model, or answers it from the cache; delta receives
	// parts of the answer as they come.
	Ask(ctx context.Context, who events.Actor, q events.Question, delta func(route.Delta)) (events.Reply, error)
	// Models tells how the providers of models are; with probe it looks first.
	Models(ctx context.Context, probe bool) (Models, error)
	// Remember takes what somebody wants remembered or forgotten about themselves,
	// and gives the place of the fact that says so.
	Remember(ctx context.Context, who events.Actor, m Memo) (events.Position, error)
	// Notes tells what happened at the start that people should know.
	Notes() []string
	// Stop asks the daemon to leave once nothing runs.
	Stop()
}

// right is what a caller may do.
type right int

const (
	reading  right = iota // anybody
	planning              // anybody: what changes nothing
	changing              // whom the backend lets
	asking                // who pays: the daemon's own user, and whom the backend lets
)

// Allowed is the whole of authorisation.
func Allowed(r right, mayChange bool) bool {
	switch r {
	case reading, planning:
		return true
	case changing, asking:
		return mayChange
	}
	return false
}

// Door serves a backend.
type Door struct {
	backend Backend
	ping    Ping
	logger  *slog.Logger
	server  *http.Server
	open    atomic.Int64
	moved   chan struct{} // told when open changes
	once    sync.Once
}

// New returns a door; [Door.Serve] opens it.
func New(b Backend, build string, pid, uid int, logger *slog.Logger) *Door {
	d := &Door{
		backend: b, logger: logger, moved: make(chan struct{}, 1),
		ping: Ping{Protocol: Protocol, Build: build, PID: pid, UID: uid, Host: b.Host()},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/ping", d.guard(reading, d.getPing))
	mux.HandleFunc("POST /v1/requests", d.guard(planning, d.postRequest))
	mux.HandleFunc("GET /v1/events", d.guard(reading, d.getEvents))
	mux.HandleFunc("GET /v1/wait", d.guard(reading, d.getWait))
	mux.HandleFunc("GET /v1/status", d.guard(reading, d.getStatus))
	mux.HandleFunc("POST /v1/replay", d.guard(changing, d.postReplay))
	mux.HandleFunc("POST /v1/collect", d.guard(changing, d.postCollect))
	mux.HandleFunc("POST /v1/ask", d.guard(asking, d.postAsk))
	mux.HandleFunc("POST /v1/memory", d.guard(planning, d.postMemory))
	mux.HandleFunc("GET /v1/models", d.guard(reading, d.getModels))
	mux.HandleFunc("POST /v1/observe", d.guard(changing, d.postObserve))
	mux.HandleFunc("POST /v1/stop", d.guard(changing, d.postStop))
	d.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: 16 << 10,
		ConnContext: withPeer, ConnState: d.count,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	return d
}

func (d *Door) count(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		d.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		d.open.Add(-1)
	case http.StateActive, http.StateIdle:
		return
	}
	select {
	case d.moved <- struct{}{}:
	default:
	}
}

// Open is how many connections there are; Moved is told when that changes.
func (d *Door) Open() int              { return int(d.open.Load()) }
func (d *Door) Moved() <-chan struct{} { return d.moved }

// Serve answers until ctx is done, then closes what is open.
func (d *Door) Serve(ctx context.Context, l net.Listener) error {
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
func (d *Door) guard(need right, h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		who, ok := peer(r)
		var err error
		switch {
		case !ok:
			err = &events.Error{Op: "door.guard", Kind: events.ErrConfirmation, Err: errors.New("the kernel did not say who is calling")}
		case d.open.Load() > maxConnections:
			err = &events.Error{Op: "door.guard", Kind: events.ErrUnavailable, Err: errors.New("too many connections"), Hint: "try again in a moment"}
		case need == asking && who.UID == d.ping.UID:
			err = h(w, r, who)
		case !Allowed(need, d.backend.MayChange(who.UID)):
			err = forbidden(who)
		default:
			err = h(w, r, who)
		}
		if err != nil {
			d.fail(w, err)
		}
	}
}

func forbidden(who events.Actor) error {
	return &events.Error{Op: "door.guard", Kind: events.ErrConfirmation, Err: fmt.Errorf("user %s may not change this machine", who.User), Hint: "run the command with sudo"}
}

func (d *Door) fail(w http.ResponseWriter, err error) {
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
	_ = json.NewEncoder(w).Encode(failure{events.FailureOf(err)})
}

func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

func (d *Door) getPing(w http.ResponseWriter, _ *http.Request, who events.Actor) error {
	p := d.ping
	p.MayChange = d.backend.MayChange(who.UID)
	d.once.Do(func() { p.Notes = d.backend.Notes() }) // told once, to the first who asks
	return answer(w, p)
}

func (d *Door) postRequest(w http.ResponseWriter, r *http.Request, who events.Actor) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return &events.Error{Op: "door.postRequest", Kind: events.ErrUsage, Err: fmt.Errorf("read the request: %w", err)}
	}
	var rec events.Record
	if err := json.Unmarshal(body, &rec); err != nil {
		return &events.Error{Op: "door.postRequest", Kind: events.ErrUsage, Err: fmt.Errorf("not an event: %w", err)}
	}
	req, err := events.DecodeRequest(rec.Event)
	if err != nil {
		return err
	}
	if req.Changes() && !Allowed(changing, d.backend.MayChange(who.UID)) {
		return forbidden(who)
	}
	e := rec.Event
	e.Actor, e.Host = who, d.backend.Host()
	position, err := d.backend.Submit(r.Context(), e)
	if err != nil {
		return err
	}
	return answer(w, Accepted{position})
}

func (d *Door) getWait(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	p, err := position(r, "position")
	if err != nil {
		return err
	}
	if err := d.backend.WaitProjected(r.Context(), p); err != nil {
		return err
	}
	return answer(w, Accepted{p})
}

func (d *Door) getStatus(w http.ResponseWriter, r *http.Request, who events.Actor) error {
	s, err := d.backend.Status(r.Context())
	if err != nil {
		return err
	}
	s.Ping = d.ping
	s.MayChange = d.backend.MayChange(who.UID)
	return answer(w, s)
}

func (d *Door) postReplay(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	done, err := d.backend.Replay(r.Context(), r.FormValue("projection"), r.FormValue("verify") == "true")
	if err != nil {
		return err
	}
	return answer(w, done)
}

func (d *Door) postCollect(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	var forget time.Time
	if v := r.FormValue("forget"); v != "" {
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			return &events.Error{Op: "door.postCollect", Kind: events.ErrUsage, Subject: "forget", Err: fmt.Errorf("%q is not a time", v)}
		}
		forget = t
	}
	done, err := d.backend.Collect(r.Context(), forget)
	if err != nil {
		return err
	}
	return answer(w, done)
}

func (d *Door) postObserve(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	if err := d.backend.Observe(r.Context()); err != nil {
		return err
	}
	return answer(w, struct{}{})
}

func (d *Door) postStop(w http.ResponseWriter, _ *http.Request, _ events.Actor) error {
	d.backend.Stop()
	return answer(w, struct{}{})
}

func position(r *http.Request, name string) (events.Position, error) {
	v := r.FormValue(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil {
		return 0, &events.Error{Op: "door.position", Kind: events.ErrUsage, Subject: name, Err: fmt.Errorf("%q is not a position", v)}
	}
	return events.Position(n), nil
}
