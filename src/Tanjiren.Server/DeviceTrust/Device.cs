using System.Reflection;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.DeviceTrust;

/// <summary>
/// The workstation behind a request: its DPoP proof, access token and body digest have been verified and its key is active. <see cref="SessionId"/> is the
/// <c>session</c> of the query (empty when it is not one), not yet looked up: the statements that follow are guarded by it. <see cref="SignedOut"/>: the sign-in
/// that it was registered with has ended; it is here to bring home what it holds.
/// </summary>
internal sealed record Device(string InstanceId, string OrganizationId, string KeyThumbprint, string SessionId, bool SignedOut = false)
{
    public static ValueTask<Device> BindAsync(HttpContext context, ParameterInfo _) =>
        ValueTask.FromResult(context.Features.Get<Device>()
            ?? throw new InvalidOperationException("This route takes a device but does not require one: add RequireDevice."));
}

/// <summary>What a workstation may still do on a route after its sign-in has ended.</summary>
internal enum WhenSignedOut
{
    Refused,
    /// <summary>While its session holds a lease.</summary>
    HoldsLease,
    /// <summary>While any session of it holds a lease: an agent that was restarted takes its leases over.</summary>
    HoldsAnyLease,
    /// <summary>
    /// While its session holds a lease, and for a completed step as long as that owes output: nothing that a machine printed is lost, also not when the answer to
    /// its result was, which the machine then sends again before the rest of the output.
    /// </summary>
    OwesOutput,
}

/// <summary>Endpoint metadata: only a workstation may call the route. Its body may have at most <see cref="MaxBodyBytes"/> bytes.</summary>
internal sealed record DeviceRequirement(int MaxBodyBytes, WhenSignedOut WhenSignedOut);

internal static class DeviceRequirementExtensions
{
    /// <summary>
    /// Admits workstations that prove their key (RFC 9449). A route value <c>instanceId</c> other than the caller's own is 404: another
    /// workstation's existence is private.
    /// </summary>
    public static TBuilder RequireDevice<TBuilder>(
        this TBuilder builder, int maxBodyBytes = Protocol.WireLimits.MaxBodyBytes, WhenSignedOut whenSignedOut = WhenSignedOut.Refused)
        where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new DeviceRequirement(maxBodyBytes, whenSignedOut)).AnswersProblems(400, 401, 403, 408, 413, 503);
}
