// Command visit replaces a browser and curl in the demo, so that it needs only Go.
//
//	visit URL ['Header: value'...]
//
// It follows redirects and prints the response, an HTML page as its visible text. It fails from status 400 on.
package main

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: visit URL ['Header: value'...]")
		os.Exit(2)
	}
	if err := visit(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "visit:", err)
		os.Exit(1)
	}
}

func visit(url string, headers []string) error {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ":")
		req.Header.Set(name, strings.TrimSpace(value))
	}
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	page := string(body)
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		page = text(page)
	}
	fmt.Println(strings.TrimSpace(page))
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the response is %s", resp.Status)
	}
	return nil
}

var (
	unseen = regexp.MustCompile(`(?is)<head\b.*?</head>|<style\b.*?</style>|<script\b.*?</script>|<!--.*?-->`)
	block  = regexp.MustCompile(`(?i)</?(p|div|h[1-6]|li|ul|ol|br|section|main|form|label|table|tr|pre)\b[^>]*>`)
	tag    = regexp.MustCompile(`<[^>]*>`)
)

// text returns the visible text of a page. It covers the two pages of the demo: the simulator's and the engine's.
func text(page string) string {
	page = unseen.ReplaceAllString(page, "")
	page = block.ReplaceAllString(page, "\n")
	page = html.UnescapeString(tag.ReplaceAllString(page, ""))
	var lines []string
	for _, line := range strings.Split(page, "\n") {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
