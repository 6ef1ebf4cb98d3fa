package authpipe

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// A verdict is what an answer of the Graph API says about the credential that it was asked with.
type verdict int

const (
	fine       verdict = iota // or not to be blamed on the credential
	tokenDead                 // code 190 (Meta: "Handle Errors")
	proofWrong                // "Invalid appsecret_proof provided in the API argument", or one was required
)

// errorLimit is how much of an answer is read to judge it. Errors are short.
const errorLimit = 64 << 10

// judge reads the answer, if it is a refusal, and leaves it as it was.
func judge(resp *http.Response) verdict {
	if resp.StatusCode < http.StatusBadRequest || resp.Body == nil {
		return fine
	}
	begin, err := io.ReadAll(io.LimitReader(resp.Body, errorLimit))
	rest := resp.Body
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(begin), after(rest, err)), rest}
	if err != nil {
		return fine
	}
	var refused struct {
		Error struct {
			Message string `json:"message"`
			Code    number `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(begin, &refused) != nil {
		return fine // the page of some proxy's
	}
	message := refused.Error.Message
	switch {
	case strings.Contains(message, "appsecret_proof"):
		// The codes differ: 100, or 1 as of an unknown error.
		return proofWrong
	case refused.Error.Code == 190 && !strings.Contains(message, "must be called with a"):
		// A token of the wrong kind, for a call that wants a page's, say, is not dead.
		return tokenDead
	}
	return fine
}

// after reads on, or fails as it did before.
func after(rest io.Reader, err error) io.Reader {
	if err == nil {
		return rest
	}
	return failing{err}
}

type failing struct{ err error }

// Read implements [io.Reader].
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// number is one that may come as a string.
type number int

// UnmarshalJSON implements [json.Unmarshaler]. What is no number is none that counts.
func (n *number) UnmarshalJSON(b []byte) error {
	i, _ := strconv.Atoi(strings.Trim(string(b), `"`))
	*n = number(i)
	return nil
}
