package cli

import (
	"fmt"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// The widths at which there is room for more.
const (
	widthForNames   = 110 // of devices
	widthForReasons = 90
)

func (v topView) deviceSection(width int) section {
	if len(v.devices) == 0 {
		return section{head: said(dim, "no accelerator was found; `palisade doctor` says why")}
	}
	ref, name, holders := len("DEVICE"), 0, 0
	for _, d := range v.devices {
		ref = max(ref, cellsUpTo(24, d.Ref))
		name = max(name, cellsUpTo(26, d.Name))
		holders = max(holders, cellsUpTo(width, strings.Join(holderWords(d.Holders), ", ")))
	}
	if width < widthForNames {
		name = -1
	}
	// What is not a bar: the names, percent, memory, temperature, power, and the least that holders may take.
	const use, mem, temp, power = 5, 15, 7, 8
	holders = min(max(holders, 12), max(12, width/4))
	fixed := ref + 2 + name + 1 + use + 1 + 1 + mem + temp + power + 2 + holders
	w := min(max((width-fixed)/2, 4), 30)
	head := fit("DEVICE", ref+2)
	if name >= 0 {
		head += fit("NAME", name+1)
	}
	head += fit("USE", w+1+use) + " " + fit("MEMORY", w+1+mem) + fitRight("TEMP", temp) + fitRight("POWER", power) + "  HELD BY"
	s := section{head: line{{head, heading}}, noun: "device"}
	for _, d := range v.devices {
		l := line{{fit(oneLine(d.Ref), ref) + "  ", plain}}
		if name >= 0 {
			l = append(l, part{fit(oneLine(d.Name), name) + " ", dim})
		}
		if d.Health != api.DeviceOK {
			l = append(l, part{oneLine(d.Health + because(d.Reason)), bad})
			if who := strings.Join(holderWords(d.Holders), ", "); who != "" {
				l = append(l, part{"  held by " + oneLine(who), plain})
			}
			s.rows = append(s.rows, l)
			continue
		}
		l = append(l, part{bar(d.Utilization, w), good}, part{" " + fitRight(percent(d.Utilization), use) + " ", plain})
		l = append(l, gauge(ratio(float64(d.MemoryUsed), float64(d.MemoryTotal)), w)...)
		l = append(l, part{fit(memoryWords(d.MemoryUsed, d.MemoryTotal), mem), plain}, part{fitRight(degrees(d.Temperature), temp), warm(d.Temperature)},
			part{fitRight(watts(d.Power), power) + "  ", plain}, part{oneLine(orDash(strings.Join(holderWords(d.Holders), ", "))), plain})
		s.rows = append(s.rows, l)
	}
	return s
}

// warm is the tone of a temperature: above 85 °C most devices slow down.
func warm(celsius float64) tone {
	if celsius >= 85 {
		return bad
	}
	return plain
}

func (v topView) sessionSection(width int) section {
	if len(v.sessions) == 0 {
		return section{head: said(dim, "no session lives; begin with: palisade service create --help")}
	}
	name, status := len("SESSION"), len("STATUS")
	for _, s := range v.sessions {
		name = max(name, cellsUpTo(min(width/3, 40), sessionName(s)))
		status = max(status, cellsUpTo(16, s.Status))
	}
	const cpu, mem, device = 7, 11, 11
	head := fit("SESSION", name+1) + fit("STATUS", status) + fitRight("CPU", cpu) + fitRight("MEMORY", mem) + fitRight("DEVICE MEM", device)
	s := section{head: line{{head + "  HOLDS", heading}}, noun: "session"}
	for _, ses := range v.sessions {
		t := plain
		switch {
		case ses.Status == "PENDING":
			t = warning
		case ses.Status == "ERROR":
			t = bad
		case ses.Status != "RUNNING":
			t = dim
		}
		l := line{{fit(sessionName(ses), name) + " ", plain}, {fit(oneLine(ses.Status), status), t},
			{fitRight(known(ses.cores, "%.2f"), cpu) + fitRight(bytesOrDash(ses.memory), mem) + fitRight(bytesOrDash(ses.deviceMemory), device) + "  ", plain},
			{oneLine(ses.last(width)), plain}}
		s.rows = append(s.rows, l)
	}
	return s
}

// sessionName is what people know a session by.
func sessionName(s topSession) string {
	if s.Name == "" {
		return s.ID
	}
	return oneLine(s.Name)
}

// last is what stands at the end of a session's line: what it holds, or why it does not run.
func (s topSession) last(width int) string {
	if s.Status == "RUNNING" || s.Claim != nil && len(s.Claim.Devices) > 0 {
		var parts []string
		if s.Claim != nil {
			for _, d := range s.Claim.Devices {
				word := d.Ref
				if d.Share != "1.00" {
					word += " " + d.Share
				}
				parts = append(parts, word)
			}
		}
		return orDash(strings.Join(parts, ", "))
	}
	if len(s.Waits) > 0 && width < widthForReasons {
		return s.Waits[0].Sentence
	}
	return briefly(endOrReason(s.Session))
}

func (v topView) serviceSection(int) section {
	if len(v.services) == 0 {
		return section{}
	}
	name, status := len("SERVICE"), len("STATUS")
	for _, s := range v.services {
		name = max(name, cellsUpTo(40, s.Name))
		status = max(status, cellsUpTo(16, s.Status))
	}
	auto := 0 // no column where nothing is scaled by itself
	for _, s := range v.services {
		if word := autoWord(s); word != "-" {
			auto = max(auto, len("AUTO")+2, len(word)+2)
		}
	}
	head := fit("SERVICE", name+1) + fit("STATUS", status) + fitRight("ROUTES", 9) + fitRight("AUTO", auto) + fitRight("IN FLIGHT", 11) + "  REASON"
	s := section{head: line{{head, heading}}, noun: "service"}
	for _, svc := range v.services {
		t := good
		switch svc.Status {
		case "HEALTHY", "IDLE":
		case "UNHEALTHY":
			t = bad
		default:
			t = warning
		}
		inFlight := 0
		for _, r := range svc.Routes {
			inFlight += r.InFlight
		}
		s.rows = append(s.rows, line{{fit(oneLine(svc.Name), name) + " ", plain}, {fit(oneLine(svc.Status), status), t},
			{fitRight(fmt.Sprintf("%d/%d", svc.HealthyRoutes, svc.Replicas), 9) + fitRight(autoWord(svc), auto) + fitRight(fmt.Sprint(inFlight), 11) + "  ", plain},
			{oneLine(briefly(svc.Reason)), plain}})
	}
	return s
}
