using System.Text.Json;

using Tanjiren.Protocol;

namespace Tanjiren.Cli.Output;

/// <summary>States in the words of the wire, coloured by meaning.</summary>
internal static class Words
{
    public static string Of<T>(T value) where T : struct, Enum => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString());

    public static string Of(StepReason reason) =>
        reason == StepReason.ResourceExceeded ? "ResourceExceeded" : JsonNamingPolicy.CamelCase.ConvertName(reason.ToString());

    /// <summary>From the word of an option; null: it was not given.</summary>
    public static ApprovalClass? ApprovalClass(string? word) => word is null ? null : Enum.GetValues<ApprovalClass>().Single(c => Of(c) == word);

    public static Cell Cell(TaskState state) => state switch
    {
        TaskState.Completed => Output.Cell.Good(Of(state)),
        TaskState.Failed => Output.Cell.Bad(Of(state)),
        TaskState.Cancelled => Output.Cell.Warn(Of(state)),
        _ => Of(state),
    };

    public static Cell Cell(StepState state) => state switch
    {
        StepState.Succeeded => Output.Cell.Good(Of(state)),
        StepState.Failed => Output.Cell.Bad(Of(state)),
        StepState.Cancelled => Output.Cell.Warn(Of(state)),
        _ => Of(state),
    };

    public static Cell Cell(InstanceBody instance) => instance switch
    {
        { Paired: false } => Output.Cell.Warn("not paired"),
        { Status: InstanceStatus.Offline } => Output.Cell.Bad("offline"),
        { Draining: true } => Output.Cell.Warn($"{Of(instance.Status)}, draining"),
        _ => Output.Cell.Good(Of(instance.Status)),
    };

    public static Cell Cell(WorkerBody worker) => worker switch
    {
        { Status: WorkerStatus.Offline } => Output.Cell.Bad(Of(worker.Status)),
        { Readiness.Ready: false } => Output.Cell.Warn(Of(worker.Status)),
        _ => Output.Cell.Good(Of(worker.Status)),
    };

    /// <summary>What a coding agent says that it cost; empty: nothing that is told in words.</summary>
    public static string Of(TokenUsage usage) => string.Join(", ", new[]
    {
        usage.InputTokens is { } input ? $"{input} tokens in" : null,
        usage.OutputTokens is { } output ? $"{output} out" : null,
        usage.InputTokens is null && usage.OutputTokens is null && usage.TotalTokens is { } total ? $"{total} tokens" : null,
        usage.CostAmount is { } amount ? Text.Safe($"{amount} {usage.CostCurrency}".TrimEnd()) : null,
    }.Where(w => w is not null));

    public static string Command(CommandSpec command) => command.Shell ?? Text.CommandLine(command.Argv ?? []);
}
