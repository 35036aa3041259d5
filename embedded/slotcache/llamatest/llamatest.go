// Package llamatest runs a real llama-server for tests, with a small model of random weights.
// Protocol and slots are real; the answers are random text. fetch.sh downloads the server.
package llamatest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Start runs the command in LLAMA_SERVER (default llama-server) with these arguments. It
// returns the address once the server answers, and a function that stops the server.
func Start(t *testing.T, args ...string) (url string, stop func()) {
	t.Helper()
	command := append(strings.Fields(cmp.Or(os.Getenv("LLAMA_SERVER"), "llama-server")), args...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], "--host", "127.0.0.1", "--port", port)...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("set LLAMA_SERVER to a command that starts llama-server: %v", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	url = "http://127.0.0.1:" + port
	for ready := false; !ready; {
		if ctx.Err() != nil {
			t.Fatalf("the server did not start: %s", log.String())
		}
		res, err := client.Get(url + "/health")
		if err != nil {
			time.Sleep(50 * time.Millisecond) // the server does not signal when it is ready
			continue
		}
		ready = res.StatusCode == http.StatusOK
		_ = res.Body.Close()
	}
	return url, func() { cancel(); _ = cmd.Wait() } // killed
}

// HeaderPair is a key of a header and its value: a uint32, string or float32, or a slice of
// int32, float32 or string.
type HeaderPair [2]any

// Header returns the header of a GGUF file without tensors.
func Header(version uint32, pairs ...HeaderPair) []byte {
	var b bytes.Buffer
	w := func(values ...any) {
		for _, v := range values {
			if s, ok := v.(string); ok {
				_ = binary.Write(&b, binary.LittleEndian, uint64(len(s)))
				b.WriteString(s)
				continue
			}
			_ = binary.Write(&b, binary.LittleEndian, v)
		}
	}
	b.WriteString("GGUF")
	w(version, uint64(0), uint64(len(pairs)))
	for _, p := range pairs {
		w(p[0])
		switch v := p[1].(type) {
		case uint32:
			w(uint32(4), v)
		case string:
			w(uint32(8), v)
		case float32:
			w(uint32(6), v)
		case []int32:
			w(uint32(9), uint32(5), uint64(len(v)), v)
		case []float32:
			w(uint32(9), uint32(6), uint64(len(v)), v)
		case []string:
			w(uint32(9), uint32(8), uint64(len(v)))
			for _, s := range v {
				w(s)
			}
		}
	}
	return b.Bytes()
}

// ModelFile returns a GGUF file: a llama model of two layers with random weights and a
// vocabulary of bytes and ASCII.
func ModelFile() []byte {
	const layers, width, heads, kept, inner = 2, 64, 4, 2, 128
	tokens, types := []string{"<unk>", "<s>", "</s>"}, []int32{2, 3, 3}
	for i := range 256 {
		tokens, types = append(tokens, fmt.Sprintf("<0x%02X>", i)), append(types, 6)
	}
	for c := '!'; c <= '~'; c++ {
		tokens, types = append(tokens, string(c)), append(types, 1)
	}
	tokens, types = append(tokens, "\u2581"), append(types, 1)
	pairs := []HeaderPair{
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
	out := Header(3, pairs...)
	binary.LittleEndian.PutUint64(out[8:], count)
	out = append(out, infos.Bytes()...)
	out = append(out, make([]byte, (32-len(out)%32)%32)...)
	return append(out, data.Bytes()...)
}
