package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/authpipe/vault-plugin-secrets-authpipe/bench/crowd"
)

// warmRefs is the number of credentials that are read in turn.
const warmRefs = 16

// A mounted is the engine behind Vault's API.
type mounted struct{ *vault }

func (m mounted) write(ctx context.Context, path string, data map[string]any) (map[string]any, error) {
	return m.call(ctx, http.MethodPost, "authpipe/"+path, data)
}

func (m mounted) visit(ctx context.Context, to *url.URL) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return err
	}
	resp, err := m.http.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	return statusError(resp.StatusCode)
}

// warm measures reads of credentials, and compares them with the same response of the floor plugin and the same fields of KV.
func warm(ctx context.Context, s *session) ([]row, error) {
	v, fb, stop, err := s.servers(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	size, err := v.stage(ctx, fb, warmRefs)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, connections := range []int{1, 16} {
		contenders := contenders(warmRefs)
		if err := contest(ctx, v, contenders, connections, s.rounds, s.round); err != nil {
			return rows, err
		}
		rows = append(rows, compared("warm read", "≥ 0.90", contenders, connections, size)...)
		if connections == 1 {
			cached, err := hits(ctx, v, quantile(contenders[0].latencies, 0.5))
			if err != nil {
				return rows, err
			}
			rows = append(rows, cached...)
		}
	}
	return rows, nil
}

// contenders returns the contenders for reads of n credentials, each with its own mount.
func contenders(refs int) []*contender {
	all := []*contender{{name: "authpipe"}, {name: "floor plugin"}, {name: "floor plugin, mounted again"}, {name: "KV v2"}}
	for i, prefix := range []string{"authpipe/creds/", "floor/creds/", "again/creds/", "secret/data/"} {
		for n := range refs {
			all[i].paths = append(all[i].paths, prefix+crowd.Nth(n).Ref)
		}
	}
	return all
}

// stage mounts the contenders and stores the responses of n credentials in all of them. It returns the size of one.
func (v *vault) stage(ctx context.Context, fb *facebook, refs int) (size int, err error) {
	for path, plugin := range map[string]string{"authpipe": "authpipe", "floor": "constant", "again": "constant"} {
		if _, err := v.call(ctx, http.MethodPost, "sys/mounts/"+path, map[string]any{"type": plugin}); err != nil {
			return 0, err
		}
	}
	e := mounted{v}
	if err := fb.configure(ctx, e, nil); err != nil {
		return 0, err
	}
	for n := range refs {
		p := crowd.Nth(n)
		if err := fb.connect(ctx, e, p); err != nil {
			return 0, err
		}
		answer, err := v.call(ctx, http.MethodGet, "authpipe/creds/"+p.Ref, nil)
		if err != nil {
			return 0, err
		}
		if size, err = v.repeat(ctx, p.Ref, answer); err != nil {
			return 0, err
		}
	}
	return size, nil
}

// repeat copies the engine's responses to the other contenders.
func (v *vault) repeat(ctx context.Context, ref string, answer map[string]any) (size int, err error) {
	b, err := json.Marshal(answer)
	if err != nil {
		return 0, err
	}
	for path, body := range map[string]map[string]any{
		"floor/creds/" + ref: {"answer": answer},
		"again/creds/" + ref: {"answer": answer},
		"secret/data/" + ref: {"data": answer},
	} {
		if _, err := v.call(ctx, http.MethodPost, path, body); err != nil {
			return 0, err
		}
	}
	repeated, err := v.call(ctx, http.MethodGet, "floor/creds/"+ref, nil)
	if err != nil {
		return 0, err
	}
	if again, err := json.Marshal(repeated); err != nil || len(again) != len(b) {
		return 0, fmt.Errorf("the floor plugin answers %d bytes, the engine %d: %v", len(again), len(b), err)
	}
	return len(b), nil
}

func compared(what, wanted string, contenders []*contender, connections, size int) []row {
	at := ", 1 connection"
	if connections > 1 {
		at = fmt.Sprintf(", %d connections", connections)
	}
	ours, floor, again, kv := contenders[0], contenders[1], contenders[2], contenders[3]
	rows := []row{
		ratioRow(what+": authpipe to floor plugin"+at, wanted, ours.against(floor)),
		ratioRow(what+": authpipe to KV v2"+at, "", ours.against(kv)),
		ratioRow("control of "+what+"s: floor plugin to itself"+at, "1.00", again.against(floor)),
	}
	for _, c := range contenders {
		rates := slices.Sorted(slices.Values(c.rates))
		rows = append(rows, row{
			what:   what + ": " + c.name + at,
			figure: fmt.Sprintf("%.0f/s", quantile(rates, 0.5)),
			detail: fmt.Sprintf("p50 %s, p99 %s; %d bytes of data", inMS(quantile(c.latencies, 0.5)), inMS(quantile(c.latencies, 0.99)), size),
		})
	}
	return rows
}

func ratioRow(what, wanted string, ratios []float64) row {
	return row{
		ratio: true, what: what, wanted: wanted,
		figure: fmt.Sprintf("%.2f", quantile(ratios, 0.5)),
		detail: fmt.Sprintf("median of %d rounds; half of them %.2f to %.2f", len(ratios), quantile(ratios, 0.25), quantile(ratios, 0.75)),
	}
}
