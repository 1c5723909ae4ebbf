using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tasks;

/// <summary>From the words of a task to the machines that they mean now.</summary>
internal sealed class TargetResolver(InstanceDirectory directory)
{
    /// <summary>For <c>all</c>: the workstations, one step each. For <c>any</c>: one step with a selector. Meaningful only when no error was added.</summary>
    public async Task<ResolvedTargets> ResolveAsync(SqlSession sql, string organizationId, CreateTaskRequest spec, FieldErrors errors)
    {
        var named = new List<string>();
        var names = spec.Targets!.Workstations ?? [];
        // Named ones are looked up alone: a thousand others must not make each of their tasks slower. Without names every machine is looked at, once; no index knows tags and labels.
        var machines = await directory.TraitsAsync(sql, organizationId, names);
        for (var i = 0; i < names.Count; i++)
        {
            var machine = machines.FirstOrDefault(m => m.Id == names[i] || m.Name == names[i]);
            if (machine is null) errors.Add($"targets.workstations[{i}]", $"there is no workstation '{names[i]}' in this organization");
            else named.Add(machine.Id);
        }
        if (errors.Any) return ResolvedTargets.None;

        var selector = TargetSelector.Of(spec, names.Count == 0 ? null : named);
        // Steps stand in the order in which the machines were named, or registered.
        var matching = machines.Where(m => ResourceFit.MayRun(selector, m)).OrderBy(m => named.IndexOf(m.Id)).ToList();
        var lacking = selector.Resources.Count == 0 ? [] : machines.Where(m => ResourceFit.LacksOnlyResources(selector, m)).ToList();
        if (matching.Count == 0 && lacking.Count > 0) ResourceFit.Explain(selector, lacking, errors);
        else if (LacksCodingAgent(selector, machines, matching)) errors.Add("codingAgent", $"no workstation that matches has {Words(selector.CodingAgent!)}; `workers show` lists what each has (agent:NAME), its agent.yaml may name one");
        else if (matching.Count == 0) errors.Add("targets", "no workstation of this organization matches; `workstations list` shows their tags and labels");
        IReadOnlyList<IReadOnlyCollection<string>> tags = [.. matching.Select(m => m.Tags)];
        if (spec.Targets.Placement == Placement.Any) return new ResolvedTargets([], selector, tags);
        if (matching.Count > WireLimits.MaxTargets) errors.Add("targets", $"matches {matching.Count} workstations; at most {WireLimits.MaxTargets} are allowed");
        // A machine that was named must not be left out silently because a tag or label condition excludes it.
        foreach (var id in named.Except(matching.Select(m => m.Id)))
        {
            if (lacking.Find(m => m.Id == id) is not { } poor) errors.Add("targets", $"workstation '{id}' does not satisfy the other conditions");
            else if (matching.Count > 0) ResourceFit.Explain(selector, [poor], errors);
        }
        return new ResolvedTargets([.. matching.Select(m => m.Id)], null, tags);
    }

    /// <summary>Whether nothing but the coding agent keeps all of them from matching.</summary>
    private static bool LacksCodingAgent(TargetSelector selector, IReadOnlyList<MachineTraits> machines, List<MachineTraits> matching)
    {
        if (selector.CodingAgent is null || matching.Count > 0) return false;
        var without = selector with { CodingAgent = null };
        return machines.Any(m => ResourceFit.MayRun(without, m) || ResourceFit.LacksOnlyResources(without, m));
    }

    private static string Words(string codingAgent) => codingAgent == TargetSelector.AnyCodingAgent ? "a coding agent" : $"the coding agent '{codingAgent}'";
}

/// <summary><see cref="Tags"/>: those of each machine that could run it, for the doctrine.</summary>
internal sealed record ResolvedTargets(IReadOnlyList<string> Instances, TargetSelector? Selector, IReadOnlyList<IReadOnlyCollection<string>> Tags)
{
    public static readonly ResolvedTargets None = new([], null, []);

    /// <summary>What an approval is bound to: machines by id, or the condition. A machine's tags are judged again at its claim.</summary>
    public string ToCanonical() => Selector?.ToCanonical() ?? string.Join(',', Instances);
}
