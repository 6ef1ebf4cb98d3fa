package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func post(t *testing.T, address, site string, form url.Values) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", site)
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func TestControlPageIsServed(t *testing.T) {
	base := start(t, "-redirect-uri", "https://e/cb")
	if _, page := get(t, base+"/_control"); !strings.Contains(page, "Ada Admin") || !strings.Contains(page, "Go down") {
		t.Errorf("the page: %s", page)
	}
	down := url.Values{"action": {"down"}, "how": {"0"}}
	if got := post(t, base+"/_control", "cross-site", down); got != http.StatusForbidden {
		t.Errorf("another site's form: status %d", got)
	}
	if got := post(t, base+"/_control", "same-origin", down); got != http.StatusSeeOther {
		t.Errorf("the page's own: status %d", got)
	}
	if response, _ := get(t, base+"/me"); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("down, but /me has status %d", response.StatusCode)
	}
	post(t, base+"/_control", "same-origin", url.Values{"action": {"up"}})
	if response, _ := get(t, base+"/me"); response.StatusCode != http.StatusBadRequest {
		t.Errorf("back, but /me has status %d", response.StatusCode)
	}
}
