package config

import (
	"fmt"
	"maps"
	"strconv"

	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/sessions"
)

// LimitSettings are all limits of projects and people that the settings have, in one book.
func (c Config) LimitSettings() (people.LimitSettings, error) {
	queue := func(written map[string]map[string]string) map[string]people.Limits {
		out := map[string]people.Limits{}
		for name, words := range written {
			out[name] = queueLimits(words)
		}
		return out
	}
	usage, storage := map[string]people.Limits{}, map[string]people.Limits{}
	for name, words := range c.Limits.Projects {
		usage[name] = people.Limits{Usage: words}
	}
	for name, text := range c.Folders.Quotas {
		bytes, err := quotaOf(text)
		if err != nil {
			return nil, fmt.Errorf("quota of project %s: %w", name, err)
		}
		if bytes == 0 {
			bytes = people.UnboundedMost
		}
		storage[name] = people.Limits{Storage: bytes}
	}
	return people.LimitSettings{
		people.LimitProject: {queue(c.Queue.Limits.Projects), usage, storage},
		people.LimitUser:    {queue(c.Queue.Limits.Users)},
	}, nil
}

// queueLimits tells the slots of one line of the queue's limits from the numbers; see sessions.ParseQuota.
func queueLimits(words map[string]string) people.Limits {
	l := people.Limits{Slots: maps.Clone(words)}
	for name, to := range map[string]*int{sessions.SlotSessions: &l.Sessions, sessions.SlotServices: &l.Services, sessions.SlotRoutes: &l.Routes} {
		*to, _ = strconv.Atoi(words[name]) // that it is one was checked
		delete(l.Slots, name)
	}
	return l
}
