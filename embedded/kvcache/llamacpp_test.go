//go:build llamacpp

package kvcache_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cortex/embedded/kvcache"
)

// TestARealServer runs what LLAMA_SERVER says (a command, llama-server by
// default) with a model of random weights: go test -tags llamacpp.
func TestARealServer(t *testing.T) {
	command := strings.Fields(os.Getenv("LLAMA_SERVER"))
	if len(command) == 0 {
		command = []string{"llama-server"}
	}
	file := filepath.Join(t.TempDir(), "random.gguf")
	if err := os.WriteFile(file, randomModel(), 0o600); err != nil {
		t.Fatal(err)
	}
	store := kvcache.NewStore(t.TempDir(), time.Now)
	spec, err := store.Create(kvcache.Spec{Name: "p", Budget: 1 << 24, Policy: kvcache.LRU})
	if err != nil {
		t.Fatal(err)
	}
	in := func(f func(*kvcache.Pool, kvcache.Server) error) {
		t.Helper()
		s, stop := startLlama(t, append(command, "-m", file, "-c", "2048", "-np", "2", "--slots", "--slot-save-path", spec.Slots))
		defer stop()
		p, err := store.Open(t.Context(), "p")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if err := f(p, s); err != nil {
			t.Fatal(err)
		}
	}
	prompt := strings.Repeat(system+". ", 5)
	in(func(p *kvcache.Pool, s kvcache.Server) error {
		out, err := p.Restore(t.Context(), s, kvcache.RestoreRequest{Prompt: prompt})
		if err != nil || out.Entry != nil || out.Processed != out.Prompt {
			return fmt.Errorf("an empty pool gives %+v, %w", out, err)
		}
		saved, err := p.Save(t.Context(), s, kvcache.SaveRequest{})
		if err == nil && saved.Entry.Tokens != out.Prompt {
			err = fmt.Errorf("%d tokens were saved of %d", saved.Entry.Tokens, out.Prompt)
		}
		return err
	})
	in(func(p *kvcache.Pool, s kvcache.Server) error { // started anew
		out, err := p.Restore(t.Context(), s, kvcache.RestoreRequest{Slot: 1, Prompt: prompt + "install nginx"})
		t.Logf("%d of %d tokens were not processed again", out.Spared, out.Prompt)
		if err == nil && (out.Entry == nil || out.Spared < out.Restored-1) {
			err = fmt.Errorf("got %+v", out)
		}
		return err
	})
}

func startLlama(t *testing.T, command []string) (kvcache.Server, func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], "--host", "127.0.0.1", "--port", port)...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("set LLAMA_SERVER to a command that starts one: %v", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	s := kvcache.Server{URL: "http://127.0.0.1:" + port, HTTP: client}
	for ready := false; !ready; {
		if ctx.Err() != nil {
			t.Fatalf("the server did not start: %s", log.String())
		}
		res, err := client.Get(s.URL + "/health")
		if err != nil {
			time.Sleep(50 * time.Millisecond) // another process tells nobody when it is ready
			continue
		}
		ready = res.StatusCode == http.StatusOK
		_ = res.Body.Close()
	}
	return s, func() { stop(); _ = cmd.Wait() } // killed
}

// randomModel is a llama of two layers with random weights and a vocabulary of
// bytes and ASCII.
func randomModel() []byte {
	const layers, width, heads, kept, inner = 2, 64, 4, 2, 128
	tokens, types := []string{"<unk>", "<s>", "</s>"}, []int32{2, 3, 3}
	for i := range 256 {
		tokens, types = append(tokens, fmt.Sprintf("<0x%02X>", i)), append(types, 6)
	}
	for c := '!'; c <= '~'; c++ {
		tokens, types = append(tokens, string(c)), append(types, 1)
	}
	tokens, types = append(tokens, "\u2581"), append(types, 1)
	pairs := []kv{
		{"general.architecture", "llama"},
		{"llama.block_count", uint32(layers)},
		{"llama.context_length", uint32(2048)},
		{"llama.embedding_length", uint32(width)},
		{"llama.feed_forward_length", uint32(inner)},
		{"llama.vocab_size", uint32(len(tokens))},
		{"llama.attention.head_count", uint32(heads)},
		{"llama.attention.head_count_kv", uint32(kept)},
		{"llama.attention.layer_norm_rms_epsilon", float32(1e-5)},
		{"llama.rope.dimension_count", uint32(width / heads)},
		{"tokenizer.ggml.model", "llama"},
		{"tokenizer.ggml.tokens", tokens},
		{"tokenizer.ggml.scores", make([]float32, len(tokens))},
		{"tokenizer.ggml.token_type", types},
		{"tokenizer.ggml.bos_token_id", uint32(1)},
		{"tokenizer.ggml.eos_token_id", uint32(2)},
		{"tokenizer.ggml.unknown_token_id", uint32(0)},
		{"tokenizer.chat_template", "{% for m in messages %}{{ m.content }}{% endfor %}"},
	}
	var infos, data bytes.Buffer
	count := uint64(0)
	source := rand.New(rand.NewPCG(1, 1))
	tensor := func(name string, sizes ...uint64) {
		_ = binary.Write(&infos, binary.LittleEndian, uint64(len(name)))
		infos.WriteString(name)
		_ = binary.Write(&infos, binary.LittleEndian, uint32(len(sizes)))
		n := uint64(1)
		for _, s := range sizes {
			n *= s
		}
		_ = binary.Write(&infos, binary.LittleEndian, sizes)
		_ = binary.Write(&infos, binary.LittleEndian, uint32(0)) // f32
		_ = binary.Write(&infos, binary.LittleEndian, uint64(data.Len()))
		for range n { // every size here is a multiple of the alignment
			v := float32(1)
			if len(sizes) > 1 {
				v = float32(source.NormFloat64()) / 10
			}
			_ = binary.Write(&data, binary.LittleEndian, v)
		}
		count++
	}
	tensor("token_embd.weight", width, uint64(len(tokens)))
	tensor("output.weight", width, uint64(len(tokens)))
	tensor("output_norm.weight", width)
	for i := range layers {
		b := fmt.Sprintf("blk.%d.", i)
		tensor(b+"attn_norm.weight", width)
		tensor(b+"ffn_norm.weight", width)
		tensor(b+"attn_q.weight", width, width)
		tensor(b+"attn_k.weight", width, width*kept/heads)
		tensor(b+"attn_v.weight", width, width*kept/heads)
		tensor(b+"attn_output.weight", width, width)
		tensor(b+"ffn_gate.weight", width, inner)
		tensor(b+"ffn_up.weight", width, inner)
		tensor(b+"ffn_down.weight", inner, width)
	}
	out := header(3, pairs...)
	binary.LittleEndian.PutUint64(out[8:], count)
	out = append(out, infos.Bytes()...)
	out = append(out, make([]byte, (32-len(out)%32)%32)...)
	return append(out, data.Bytes()...)
}
