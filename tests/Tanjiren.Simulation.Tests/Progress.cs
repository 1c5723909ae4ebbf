using System.Text.Json;

namespace Tanjiren.Simulation.Tests;

/// <summary>
/// How far a long run has come, in <c>artifacts/simulation.json</c>: one that is interrupted goes on there. What another build has run does not count.
/// </summary>
internal sealed class Progress(string path)
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    /// <summary>Of the product and of the simulation: builds are deterministic, so equal code has equal ids.</summary>
    private static readonly string Build = string.Join(' ', new[] { typeof(Tanjiren.Server.Data.Database), typeof(Tanjiren.Agent.AgentTimeouts), typeof(Tanjiren.Protocol.StepState), typeof(Progress) }.Select(type => type.Module.ModuleVersionId));

    public static Progress InArtifacts()
    {
        var root = new DirectoryInfo(AppContext.BaseDirectory);
        while (root is not null && !File.Exists(Path.Combine(root.FullName, "Tanjiren.slnx"))) root = root.Parent;
        return new Progress(Path.Combine(Directory.CreateDirectory(Path.Combine((root ?? new DirectoryInfo(AppContext.BaseDirectory)).FullName, "artifacts")).FullName, "simulation.json"));
    }

    /// <summary>The last seed that is done, 0 when none is; what the seeds up to it added up to is in <paramref name="totals"/> then.</summary>
    public int Load(Totals totals)
    {
        if (!File.Exists(path) || JsonSerializer.Deserialize<Saved>(File.ReadAllText(path)) is not { } saved || saved.Build != Build) return 0;
        (totals.Seeds, totals.Events, totals.Faults, totals.Tasks, totals.Seconds, totals.ProcessorSeconds) = (saved.Through, saved.Events, saved.Faults, saved.Tasks, saved.Seconds, saved.ProcessorSeconds);
        totals.Ledger.Add(saved.Counts);
        return saved.Through;
    }

    public void Save(int through, Totals totals)
    {
        var saved = new Saved(Build, through, totals.Events, totals.Faults, totals.Tasks, totals.Seconds, totals.ProcessorSeconds, new Dictionary<string, long>(totals.Ledger.Counts));
        File.WriteAllText(path + ".new", JsonSerializer.Serialize(saved, Indented));
        File.Move(path + ".new", path, overwrite: true);
    }

    /// <summary>The next long run begins with the first seed.</summary>
    public void Forget() => File.Delete(path);

    private sealed record Saved(string Build, int Through, long Events, long Faults, long Tasks, double Seconds, double ProcessorSeconds, Dictionary<string, long> Counts);
}
