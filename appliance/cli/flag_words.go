package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// inFlags gives err in the words of the command line: what the API calls by its own name is called by the flag that
// sets it. flags has a flag for each such name.
func inFlags(err error, flags map[string]string) error {
	p, ok := errors.AsType[*api.Problem](err)
	if !ok {
		return err
	}
	said := *p
	if field, rest, ok := strings.Cut(p.Detail, ": "); ok && flags[field] != "" {
		said.Detail = flags[field] + ": " + rest
	}
	said.Errors = slices.Clone(p.Errors)
	for i := range said.Errors {
		if flag := flags[said.Errors[i].Field]; flag != "" {
			said.Errors[i].Field = flag
		}
	}
	return &said
}

// flagsOfRouting are the flags of service create and update that say how requests find their routes.
func flagsOfRouting() map[string]string {
	return map[string]string{
		"routing.balance": "--balance", "routing.affinity_header": "--affinity-header", "routing.affinity_cookie": "--affinity-cookie",
		"routing.max_in_flight": "--max-in-flight", "routing.max_held": "--max-held", "routing.hold_timeout": "--hold-timeout",
		"routing.repeat_window": "--repeat-guard", "routing.capture": "--capture", "routing.usage": "--stream-usage",
	}
}

// flagsOfLimits are those of generate-token.
func flagsOfLimits() map[string]string {
	return map[string]string{
		"limits.requests_per_minute": "--rpm", "limits.tokens_per_minute": "--tpm", "limits.concurrent_requests": "--concurrency",
		"limits.token_budget": "--budget", "limits.budget_window": "--budget-window",
	}
}

// flagsOfUsage are those of usage; from is the flag by which the beginning was given.
func flagsOfUsage(from string) map[string]string {
	return map[string]string{"?by": "--by", "?from": from, "?to": "--to", "?zone": "--zone"}
}
