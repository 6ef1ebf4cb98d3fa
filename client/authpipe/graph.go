package authpipe

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// errorLimit is how much of a response is read to find its error. Errors are short.
const errorLimit = 64 << 10

// refusesCredential reports whether a response of the Graph API refuses the credential of its request: the token is dead (code 190,
// Meta: "Handle Errors"), or the proof is invalid or missing. The response can still be read as if it had not been.
func refusesCredential(resp *http.Response) bool {
	if resp.StatusCode < http.StatusBadRequest || resp.Body == nil {
		return false
	}
	begin, err := io.ReadAll(io.LimitReader(resp.Body, errorLimit))
	rest := resp.Body
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(begin), after(rest, err)), rest}
	if err != nil {
		return false
	}
	var refused struct {
		Error struct {
			Message string `json:"message"`
			Code    number `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(begin, &refused) != nil {
		return false // a proxy's page
	}
	message := refused.Error.Message
	// "Invalid appsecret_proof provided in the API argument" comes with different codes: 100, or 1 like an unknown error.
	// "… must be called with a Page Access Token" means that the token is of the wrong kind, not that it is dead.
	return strings.Contains(message, "appsecret_proof") ||
		refused.Error.Code == 190 && !strings.Contains(message, "must be called with a")
}

// after returns the rest of a body, or the error that reading it ended with.
func after(rest io.Reader, err error) io.Reader {
	if err == nil {
		return rest
	}
	return failing{err}
}

type failing struct{ err error }

// Read implements [io.Reader].
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// number is a number that may come as a string.
type number int

// UnmarshalJSON implements [json.Unmarshaler]. Anything else is zero.
func (n *number) UnmarshalJSON(b []byte) error {
	i, _ := strconv.Atoi(strings.Trim(string(b), `"`))
	*n = number(i)
	return nil
}
