package slotcache_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"testing/fstest"

	"cortex/embedded/slotcache"
	"cortex/embedded/slotcache/llamatest"
	"cortex/events"
)

// llama31 returns the header of an 8B model with grouped heads.
func llama31() []llamatest.HeaderPair {
	return []llamatest.HeaderPair{
		{"general.architecture", "llama"},
		{"general.name", "toy 8B"},
		{"tokenizer.ggml.tokens", []string{"<s>", "a", "b"}},
		{"llama.rope.freq_base", float32(500000)},
		{"llama.block_count", uint32(32)},
		{"llama.context_length", uint32(131072)},
		{"llama.embedding_length", uint32(4096)},
		{"llama.attention.head_count", uint32(32)},
		{"llama.attention.head_count_kv", uint32(8)},
	}
}

func with(pairs []llamatest.HeaderPair, more ...llamatest.HeaderPair) []llamatest.HeaderPair {
	out := append([]llamatest.HeaderPair(nil), pairs...)
next:
	for _, m := range more {
		for i := range out {
			if out[i][0] == m[0] {
				out[i] = m
				continue next
			}
		}
		out = append(out, m)
	}
	return out
}

func TestBytesPerToken(t *testing.T) {
	perLayer := make([]int32, 32)
	for i := 0; i < 32; i += 2 {
		perLayer[i] = 8
	}
	for name, c := range map[string]struct {
		pairs                []llamatest.HeaderPair
		f16, q8, tokensInGiB int64
	}{
		"grouped heads":       {llama31(), 128 << 10, 128 << 10 / 2 * 34 / 32, 8192},
		"every head":          {with(llama31(), llamatest.HeaderPair{"llama.attention.head_count_kv", uint32(32)}), 512 << 10, 512 << 10 / 2 * 34 / 32, 2048},
		"heads by layer":      {with(llama31(), llamatest.HeaderPair{"llama.attention.head_count_kv", perLayer}), 64 << 10, 64 << 10 / 2 * 34 / 32, 16384},
		"explicit head sizes": {with(llama31(), llamatest.HeaderPair{"llama.attention.key_length", uint32(256)}, llamatest.HeaderPair{"llama.attention.value_length", uint32(64)}), 160 << 10, 160 << 10 / 2 * 34 / 32, 6553},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := slotcache.ReadModelInfo(bytes.NewReader(llamatest.Header(3, c.pairs...)))
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]slotcache.Sizing{}
			for _, s := range m.Sizes(slotcache.NewMemoryBudget(10<<30, 4<<30)) {
				got[s.Type] = s
			}
			if got["f16"].BytesPerToken != c.f16 || got["q8_0"].BytesPerToken != c.q8 || got["f16"].TokensPerGiB != c.tokensInGiB {
				t.Errorf("f16 %+v, q8_0 %+v", got["f16"], got["q8_0"])
			}
			if want := min(int64(5<<30)/c.f16, 131072); got["f16"].LargestContext != want {
				t.Errorf("largest context %d, want %d", got["f16"].LargestContext, want)
			}
			if got["f16"].FullContextBytes != 131072*c.f16 {
				t.Errorf("the whole context takes %d", got["f16"].FullContextBytes)
			}
		})
	}
	m, err := slotcache.ReadModelInfo(bytes.NewReader(llamatest.Header(2, llama31()...)))
	if err != nil || m.Sizes(slotcache.NewMemoryBudget(1<<30, 2<<30))[0].LargestContext != 0 {
		t.Errorf("weights that do not fit leave room: %v", err)
	}
}

func TestReadModelInfoRefusesIncompleteHeaders(t *testing.T) {
	whole := llamatest.Header(3, llama31()...)
	for name, raw := range map[string][]byte{
		"empty":                {},
		"something else":       []byte("PK\x03\x04 and more that is not a model"),
		"a version to come":    llamatest.Header(9, llama31()...),
		"big endian":           append([]byte("GGUF\x00\x00\x00\x03"), whole[8:]...),
		"cut short":            whole[:len(whole)-3],
		"no architecture":      llamatest.Header(3, llama31()[1:]...),
		"no layers":            llamatest.Header(3, with(llama31(), llamatest.HeaderPair{"llama.block_count", uint32(0)})...),
		"no heads":             llamatest.Header(3, llama31()[:6]...),
		"heads of few layers":  llamatest.Header(3, with(llama31(), llamatest.HeaderPair{"llama.attention.head_count_kv", []int32{1, 2}})...),
		"a text without end":   append(whole[:24:24], 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
		"more keys than there": append(append([]byte{}, whole[:16]...), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := slotcache.ReadModelInfo(bytes.NewReader(raw)); !errors.Is(err, events.ErrUsage) {
				t.Errorf("got %+v, %v", m, err)
			}
		})
	}
}

func FuzzReadModel(f *testing.F) {
	f.Add(llamatest.Header(3, llama31()...))
	f.Add(llamatest.Header(2, with(llama31(), llamatest.HeaderPair{"llama.attention.head_count_kv", []int32{1, 2, -3}}, llamatest.HeaderPair{"llama.block_count", uint32(3)})...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := slotcache.ReadModelInfo(bytes.NewReader(raw))
		if err != nil {
			return
		}
		if m.Layers < 1 || len(m.HeadsKV) != m.Layers {
			t.Errorf("got %+v", m)
		}
		for _, s := range m.Sizes(slotcache.NewMemoryBudget(8<<30, 1<<30)) {
			if s.BytesPerToken < 0 || s.TokensPerGiB < 0 || s.LargestContext < 0 || s.FullContextBytes < 0 || s.LargestContext*s.BytesPerToken > 8<<30 {
				t.Errorf("%+v returns %+v", m, s)
			}
		}
	})
}

func TestReadTokens(t *testing.T) {
	file := func(version int32, words ...int32) []byte {
		var b bytes.Buffer
		_ = binary.Write(&b, binary.LittleEndian, append([]int32{0x67677371, version, int32(len(words))}, words...))
		return b.Bytes()
	}
	want := []slotcache.Token{1, 7, 9}
	for name, raw := range map[string][]byte{"plain": file(2, 1, 7, 9), "packed": file(4, -1, 1, 3, 1, 7, 9, 0), "with more data": append(file(4, -1, 1, 3, 1, 7, 9, 0), 5, 5)} {
		if got, err := slotcache.ReadTokens(bytes.NewReader(raw)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for name, raw := range map[string][]byte{
		"empty": {}, "another version": file(5, 1, 7, 9), "another layout": file(4, -1, 2, 3, 1, 7, 9, 0), "images": file(4, -1, 1, 3, 1, 7, 9, 1),
		"more tokens than words": file(4, -1, 1, 4, 1, 7, 9, 0), "cut short": file(2, 1, 7, 9)[:20], "no state": []byte("GGUF and nothing else"),
	} {
		if got, err := slotcache.ReadTokens(bytes.NewReader(raw)); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzReadTokens(f *testing.F) {
	f.Add(state([]int32{1, 2, 3}, 8))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := slotcache.ReadTokens(bytes.NewReader(raw))
		if err == nil && 12+4*len(got) > len(raw) {
			t.Errorf("%d tokens in %d bytes", len(got), len(raw))
		}
	})
}

func FuzzParseSize(f *testing.F) {
	f.Add("2G")
	f.Add("1e3MB")
	f.Add("NaN")
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := slotcache.ParseSize(text); err == nil && n < 1 {
			t.Errorf("%q is %d", text, n)
		}
	})
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"2G": 2 << 30, "2GiB": 2 << 30, "2GB": 2e9, "1.5M": 3 << 19, "500": 500, "7kB": 7000} {
		if got, err := slotcache.ParseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "G", "-1G", "0", "2X", "2 G", "1e30T", "NaN", "Inf", "0.1B"} {
		if got, err := slotcache.ParseSize(text); !errors.Is(err, events.ErrUsage) {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
}

func TestAvailableMemoryRespectsControlGroups(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	meminfo := file("MemTotal: 16777216 kB\nMemAvailable:    8388608 kB\n")
	for name, c := range map[string]struct {
		root fstest.MapFS
		want int64
	}{
		"no limits": {fstest.MapFS{"proc/meminfo": meminfo}, 8 << 30},
		"a limit above": {fstest.MapFS{
			"proc/meminfo": meminfo, "proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/b/memory.max": file("max\n"),
			"sys/fs/cgroup/a/memory.max": file("1073741824\n"), "sys/fs/cgroup/a/memory.current": file("73741824\n"),
		}, 1e9},
		"version 1": {fstest.MapFS{
			"proc/meminfo": meminfo, "proc/self/cgroup": file("5:cpu:/\n4:memory:/x\n"), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n"),
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": file("2000\n"), "sys/fs/cgroup/memory/x/memory.usage_in_bytes": file("2500\n"),
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := slotcache.AvailableMemory(c.root); err != nil || got != c.want {
				t.Errorf("%d, %v, want %d", got, err, c.want)
			}
		})
	}
	if _, err := slotcache.AvailableMemory(fstest.MapFS{}); err == nil {
		t.Error("no error without meminfo")
	}
}
