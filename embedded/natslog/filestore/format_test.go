package filestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/embedded/natslog/filestore"
	"cortex/embedded/natslog/filestore/filestoretest"
)

// These tests write streams with the linked nats-server and read its files. They
// fail when the format of the files changes.

const streamName = "FORMAT"

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// startServer starts the linked server on dir and returns a client and a function
// that stops the server.
func startServer(t testing.TB, dir string) (jetstream.JetStream, func()) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir, DisableJetStreamBanner: true,
		JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 16 << 20, MaxPayload: 4 << 20,
	})
	check(t, err)
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server did not start")
	}
	conn, err := nats.Connect("", nats.InProcessServer(srv))
	check(t, err)
	js, err := jetstream.New(conn)
	check(t, err)
	stop := func() {
		conn.Close()
		srv.Shutdown()
		srv.WaitForShutdown()
	}
	t.Cleanup(stop)
	return js, stop
}

// createStream creates a file stream with small blocks.
func createStream(t testing.TB, js jetstream.JetStream) jetstream.Stream {
	t.Helper()
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: streamName, Subjects: []string{"format.>"}, Storage: jetstream.FileStorage,
		MaxBytes: 64 << 20, Duplicates: time.Hour, AllowDirect: true,
	})
	check(t, err)
	return s
}

// files returns the files of the stream in dir.
func files(t testing.TB, dir string) filestore.Stream {
	t.Helper()
	store, err := filestore.Open(dir, server.VERSION)
	check(t, err)
	return store.Stream(streamName)
}

// message returns message number i of a fixed sequence: with and without headers,
// with and without data, and now and then a large one.
func message(i int) *nats.Msg {
	m := &nats.Msg{Subject: fmt.Sprintf("format.%d.kind", i%7), Header: nats.Header{}}
	random := rand.New(rand.NewPCG(1, uint64(i))) // reproducible test data
	size := []int{0, 1, 300, 5000}[i%4]
	if i%25 == 24 {
		size = 3 << 20
	}
	m.Data = make([]byte, size)
	for j := range m.Data {
		m.Data[j] = byte(random.Uint32())
	}
	if i%3 != 0 {
		m.Header.Set("ce-id", fmt.Sprintf("id-%d", i))
		m.Header.Set("cortex-note", "a note: with colons, and ünicode")
	}
	return m
}

// publish stores messages from number first up to and without end.
func publish(t testing.TB, js jetstream.JetStream, first, end int) {
	t.Helper()
	for i := first; i < end; i++ {
		_, err := js.PublishMsg(t.Context(), message(i))
		check(t, err)
	}
}

// readAll returns the messages of every block.
func readAll(t testing.TB, s filestore.Stream) []filestore.Message {
	t.Helper()
	blocks, err := s.Blocks()
	check(t, err)
	var out []filestore.Message
	for _, b := range blocks {
		messages, err := b.Read()
		check(t, err)
		out = append(out, messages...)
	}
	return out
}

// matchesServer compares messages with those that the server returns.
func matchesServer(t *testing.T, s jetstream.Stream, got []filestore.Message) {
	t.Helper()
	for i, m := range got {
		want, err := s.GetMsg(t.Context(), m.Seq)
		if err != nil {
			t.Fatalf("message %d: %v", m.Seq, err)
		}
		headers := map[string]string{}
		for name := range want.Header {
			if !strings.HasPrefix(name, "Nats-") { // these describe the answer
				headers[name] = want.Header.Get(name)
			}
		}
		switch {
		case m.Seq != uint64(i)+got[0].Seq:
			t.Errorf("message %d has sequence %d", i, m.Seq)
		case m.Subject != want.Subject, m.Time != want.Time.UnixNano(), !bytes.Equal(m.Data, want.Data), !maps.Equal(headers, nonNil(m.Headers())), m.Erased:
			t.Errorf("message %d differs from the server's", m.Seq)
		}
	}
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func TestReadReturnsWhatTheServerStored(t *testing.T) {
	const count = 120
	dir := t.TempDir()
	js, stop := startServer(t, dir)
	s := createStream(t, js)
	publish(t, js, 0, count)
	matchesServer(t, s, readAll(t, files(t, dir))) // while the server runs
	info, err := s.Info(t.Context())
	check(t, err)
	stop()
	got := readAll(t, files(t, dir))
	if len(got) != count || info.State.LastSeq != count {
		t.Fatalf("%d messages in the files, %d in the stream, want %d", len(got), info.State.LastSeq, count)
	}
	for i, m := range got {
		want := message(i)
		if m.Subject != want.Subject || !bytes.Equal(m.Data, want.Data) || m.Headers()["ce-id"] != want.Header.Get("ce-id") || m.Headers()["cortex-note"] != want.Header.Get("cortex-note") {
			t.Errorf("message %d differs from the published one", m.Seq)
		}
	}
	blocks, err := files(t, dir).Blocks()
	check(t, err)
	if len(blocks) < 2 {
		t.Fatalf("the stream has %d blocks: several are needed", len(blocks))
	}
	for _, b := range blocks {
		messages, err := b.Read()
		check(t, err)
		var encoded []byte
		for _, m := range messages {
			encoded = append(encoded, filestoretest.EncodeFor(t, b.Path, m)...)
		}
		onDisk, err := os.ReadFile(b.Path)
		check(t, err)
		if !bytes.Equal(encoded, onDisk) || b.Size != int64(len(onDisk)) || b.FirstSeq != messages[0].Seq {
			t.Errorf("%s has more or other bytes than its %d messages", b.Path, len(messages))
		}
		for _, m := range []filestore.Message{messages[0], messages[len(messages)-1]} {
			if at := blocks[filestore.IndexOf(blocks, m.Seq)]; at.Path != b.Path {
				t.Errorf("IndexOf finds message %d in %s", m.Seq, at.Path)
			}
		}
	}
}

func TestReadDuplicateIsStoredOnce(t *testing.T) {
	dir := t.TempDir()
	js, stop := startServer(t, dir)
	createStream(t, js)
	for range 3 {
		_, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "format.a", Data: []byte("x"), Header: nats.Header{jetstream.MsgIDHeader: {"one"}}})
		check(t, err)
	}
	stop()
	if got := readAll(t, files(t, dir)); len(got) != 1 || got[0].Headers()[jetstream.MsgIDHeader] != "one" {
		t.Errorf("%d messages: %+v", len(got), got)
	}
}

func TestReadDeletedAndErasedMessages(t *testing.T) {
	dir := t.TempDir()
	js, stop := startServer(t, dir)
	s := createStream(t, js)
	publish(t, js, 0, 10)
	check(t, s.DeleteMsg(t.Context(), 4))
	check(t, s.SecureDeleteMsg(t.Context(), 6))
	publish(t, js, 10, 12)
	stop()
	got := readAll(t, files(t, dir))
	if len(got) != 12 {
		t.Fatalf("%d messages, want 12", len(got))
	}
	for i, m := range got {
		if m.Seq != uint64(i)+1 || m.Erased != (m.Seq == 6) {
			t.Errorf("message %d: sequence %d, erased %t", i+1, m.Seq, m.Erased)
		}
	}
	if !bytes.Equal(got[3].Data, message(3).Data) {
		t.Error("the deleted message has other data")
	}
}

func TestReadAfterThePurgeOfOldMessages(t *testing.T) {
	dir := t.TempDir()
	js, stop := startServer(t, dir)
	s := createStream(t, js)
	publish(t, js, 0, 110)
	check(t, s.Purge(t.Context(), jetstream.WithPurgeSequence(101)))
	stop()
	got := readAll(t, files(t, dir))
	got = slices.DeleteFunc(got, func(m filestore.Message) bool { return m.Erased || m.Seq < 101 })
	if len(got) != 10 || got[0].Seq != 101 || got[9].Seq != 110 {
		t.Errorf("%d messages are left of 101 to 110", len(got))
	}
}

// The server cuts a torn end off when it starts. Read must find the same end.
func TestReadTornEndAgreesWithTheServer(t *testing.T) {
	dir := t.TempDir()
	js, stop := startServer(t, dir)
	createStream(t, js)
	publish(t, js, 0, 12)
	stop()
	blocks, err := files(t, dir).Blocks()
	check(t, err)
	last := blocks[len(blocks)-1]
	whole, err := os.ReadFile(last.Path)
	check(t, err)
	messages, err := last.Read()
	check(t, err)
	record := filestoretest.EncodeFor(t, last.Path, messages[len(messages)-1])
	for _, missing := range []int{1, 7, 8, 9, len(record) / 2, len(record) - 5, len(record) - 1} {
		t.Run(fmt.Sprintf("%d bytes missing", missing), func(t *testing.T) {
			torn := t.TempDir()
			check(t, os.CopyFS(torn, os.DirFS(dir)))
			blocks, err := files(t, torn).Blocks()
			check(t, err)
			b := blocks[len(blocks)-1]
			check(t, os.WriteFile(b.Path, whole[:len(whole)-missing], 0o600))
			got, err := b.Read()
			if !errors.Is(err, filestore.ErrTorn) || len(got) != len(messages)-1 {
				t.Errorf("%d messages and %v, want %d and ErrTorn", len(got), err, len(messages)-1)
			}
			// Without its index the server rebuilds the state from the blocks.
			check(t, os.RemoveAll(filepath.Join(b.Path, "..", "index.db")))
			js, _ := startServer(t, torn)
			s, err := js.Stream(t.Context(), streamName)
			check(t, err)
			if last := s.CachedInfo().State.LastSeq; last != got[len(got)-1].Seq {
				t.Errorf("the server ends at message %d, Read at %d", last, got[len(got)-1].Seq)
			}
		})
	}
}

func TestReadDistinguishesATornEndFromDamage(t *testing.T) {
	dir := t.TempDir()
	js, stop := startServer(t, dir)
	createStream(t, js)
	for i := range 20 {
		_, err := js.Publish(t.Context(), "format.a", []byte(strings.Repeat(string(rune('a'+i)), 700)))
		check(t, err)
	}
	stop()
	blocks, err := files(t, dir).Blocks()
	check(t, err)
	path := blocks[0].Path
	whole, err := os.ReadFile(path)
	check(t, err)
	zeroed := func(from, to int) []byte {
		b := bytes.Clone(whole)
		clear(b[from:to])
		return b
	}
	flipped := bytes.Clone(whole)
	flipped[5*len(whole)/20+100] ^= 1
	for name, tc := range map[string]struct {
		file []byte
		torn bool
	}{
		"bit flipped in an old message":  {flipped, false},
		"zeros after the last message":   {append(bytes.Clone(whole), make([]byte, 4096)...), true},
		"sector of zeros":                {zeroed(len(whole)/512*512-512, len(whole)/512*512), true},
		"fewer zeros than a sector":      {zeroed(len(whole)/512*512-1000, len(whole)/512*512-600), false},
		"last byte missing":              {whole[:len(whole)-1], true},
		"half of the last header":        {append(bytes.Clone(whole), whole[:10]...), true},
		"impossible length in the midst": {append(append(bytes.Clone(whole), 1, 0, 0, 0), bytes.Repeat([]byte{7}, 900)...), false},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, os.WriteFile(path, tc.file, 0o600))
			_, err := blocks[0].Read()
			if err == nil || errors.Is(err, filestore.ErrTorn) != tc.torn {
				t.Errorf("Read returns %v", err)
			}
			var e *filestore.CorruptError
			if !errors.As(err, &e) || e.Path != path {
				t.Errorf("the error does not name the file: %v", err)
			}
		})
	}
}

func TestCreatedMatchesTheServer(t *testing.T) {
	dir := t.TempDir()
	js, stop := startServer(t, dir)
	want := createStream(t, js).CachedInfo().Created
	stop()
	s := files(t, dir)
	if got, err := s.Created(); err != nil || !got.Equal(want) {
		t.Errorf("created %s (%v), want %s", got, err, want)
	}
	for _, path := range []string{s.DescriptionPath(), s.ChecksumPath()} {
		b, err := os.ReadFile(path)
		check(t, err)
		for bit := 0; bit < 8*len(b); bit += 5 {
			changed := bytes.Clone(b)
			changed[bit/8] ^= 1 << (bit % 8)
			check(t, os.WriteFile(path, changed, 0o600))
			if _, err := s.Created(); err == nil {
				t.Errorf("%s: bit %d is flipped and was not found", path, bit)
			}
		}
		check(t, os.Remove(path))
		var e *filestore.CorruptError
		if _, err := s.Created(); !errors.As(err, &e) || e.Path != path || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("without %s: %v", path, err)
		}
		check(t, os.WriteFile(path, b, 0o600))
	}
}

// TestWaitSyncsEveryByte compares, after each message, the sizes of all blocks with
// their sizes when they were synced.
func TestWaitSyncsEveryByte(t *testing.T) {
	dir := t.TempDir()
	js, _ := startServer(t, dir)
	createStream(t, js)
	s := files(t, dir)
	synced := map[string]int64{}
	syncer := s.NewSyncer(func(f *os.File) error {
		info, err := f.Stat()
		if err == nil {
			synced[f.Name()] = info.Size()
			err = f.Sync()
		}
		return err
	})
	t.Cleanup(syncer.Close)
	blocks := []filestore.Block{}
	for i := range 110 {
		publish(t, js, i, i+1)
		check(t, syncer.Wait())
		var err error
		blocks, err = s.Blocks()
		check(t, err)
		for _, b := range blocks {
			if synced[b.Path] != b.Size {
				t.Fatalf("after message %d, %d of %d bytes of %s are synced", i+1, synced[b.Path], b.Size, b.Path)
			}
		}
	}
	if len(blocks) < 2 {
		t.Fatalf("the stream has %d blocks: several are needed", len(blocks))
	}
}

func TestWaitKeepsFailing(t *testing.T) {
	dir := t.TempDir()
	js, _ := startServer(t, dir)
	createStream(t, js)
	publish(t, js, 0, 1)
	failure := errors.New("bad sector")
	syncer := files(t, dir).NewSyncer(func(*os.File) error { return failure })
	t.Cleanup(syncer.Close)
	err := syncer.Wait()
	failure = nil
	var e *filestore.SyncError
	if again := syncer.Wait(); !errors.As(err, &e) || !strings.HasSuffix(e.Path, ".blk") || !errors.Is(again, e) {
		t.Errorf("first %v, then %v", err, again)
	}
}
