using System.Globalization;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// Whether what a task asks for can be had at all. Machines announce what one job can be given there (their owner's caps are in it already), so a task that asks for more than any of them gives
/// would wait until its queue timeout: it is refused at its creation, with the best that there is. Pure.
/// <para>A machine that never announced anything is not counted out: nobody knows yet what it has, and tasks are made for machines that are set up in the same hour. It is judged by its labels
/// when it claims, and by its agent before anything starts.</para>
/// </summary>
internal static class ResourceFit
{
    /// <summary>As far as anybody knows.</summary>
    public static bool MayRun(TargetSelector selector, MachineTraits machine) =>
        selector.Unmet(machine.Id, machine.Tags, machine.Labels, machine.CodingAgents).All(c => c.Kind == ConditionKind.Resource && machine.Labels.Count == 0);

    /// <summary>It is a target, and has announced too little.</summary>
    public static bool LacksOnlyResources(TargetSelector selector, MachineTraits machine)
    {
        var unmet = selector.Unmet(machine.Id, machine.Tags, machine.Labels, machine.CodingAgents).ToList();
        return machine.Labels.Count > 0 && unmet.Count > 0 && unmet.TrueForAll(c => c.Kind == ConditionKind.Resource);
    }

    /// <summary>Names each resource that none of these machines has enough of, or, when each has something of it, what the nearest lacks.</summary>
    /// <param name="selector">What is asked for.</param>
    /// <param name="lacking">Machines that <see cref="LacksOnlyResources"/>; at least one.</param>
    /// <param name="errors">Takes one error a field.</param>
    public static void Explain(TargetSelector selector, IReadOnlyList<MachineTraits> lacking, FieldErrors errors)
    {
        var poor = lacking.Select(m => (Machine: m, Unmet: selector.Unmet(m.Id, m.Tags, m.Labels, m.CodingAgents).ToList())).ToList();
        var nowhere = selector.Resources.Keys.Where(name => poor.TrueForAll(p => p.Unmet.Exists(c => c.Name == name))).ToList();
        foreach (var name in nowhere)
        {
            var best = lacking.MaxBy(m => Number(m.Labels.GetValueOrDefault(name)))!;
            errors.Add(Field(name), $"asks for {Asked(selector, name)}, and " + (lacking.Count == 1 ? $"workstation '{best.Name}' gives a job {Given(best, name)}"
                : $"no workstation that meets the targets gives a job more than {Given(best, name)} ('{best.Name}')"));
        }
        if (nowhere.Count > 0) return;
        var (nearest, missing) = poor.MinBy(p => p.Unmet.Count);
        foreach (var condition in missing)
            errors.Add(Field(condition.Name), $"asks for {Asked(selector, condition.Name)}, and no workstation that meets the targets gives a job that together with the rest; '{nearest.Name}' lacks the least and gives {Given(nearest, condition.Name)}");
    }

    private static string Asked(TargetSelector selector, string name) => selector.Resources[name].TrimStart('>', '=');

    private static string Given(MachineTraits machine, string name) => machine.Labels.GetValueOrDefault(name) ?? "none";

    private static decimal Number(string? announced) => decimal.TryParse(announced, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) ? number : -1;

    private static string Field(string label) => label switch { "cpuCount" => "resources.cpu", "memoryMb" => "resources.memoryMb", _ => "resources.gpuCount" };
}
