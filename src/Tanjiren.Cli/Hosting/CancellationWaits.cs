namespace Tanjiren.Cli.Hosting;

internal static class CancellationWaits
{
    /// <summary>Completes, without an exception, when the token is cancelled.</summary>
    public static Task UntilCancelledAsync(this CancellationToken token)
    {
        var source = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        token.UnsafeRegister(static state => ((TaskCompletionSource)state!).TrySetResult(), source);
        return source.Task;
    }
}
