package authpipetest

import "crypto/rand"

const (
	alphanumerics = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	urlSafe       = alphanumerics + "-_"
)

// random returns n characters of the alphabet that nobody can guess.
func random(alphabet string, n int) string {
	out := make([]byte, 0, n)
	limit := 256 - 256%len(alphabet) // beyond it, the first letters would come more often
	for len(out) < n {
		buf := make([]byte, n)
		_, _ = rand.Read(buf) // never fails
		for _, b := range buf {
			if int(b) < limit && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// newTokenValue looks like a user or page token. The real ones vary in length, and so do these.
func newTokenValue() string {
	return "EAA" + random(alphanumerics, 180+int(random("0123456789", 1)[0]-'0'))
}

// newCodeValue looks like an authorization code.
func newCodeValue() string {
	return "AQ" + random(urlSafe, 300)
}
