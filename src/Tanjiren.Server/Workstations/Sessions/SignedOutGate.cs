using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Workstations.Sessions;

/// <summary>
/// Lets a workstation whose sign-in has ended bring home what it holds, and nothing else. Others pass without a further statement: whether they are signed out came
/// with the key. A claim or a poll that was under way looks again for itself (<see cref="SessionStore.StandingAsync"/>).
/// </summary>
internal sealed class SignedOutGate(RequestDelegate next, Database database, LeaseBook leases)
{
    public async Task InvokeAsync(HttpContext context)
    {
        if (context.Features.Get<Device>() is not { SignedOut: true } device || await MayStayAsync(context, device)) await next(context);
        else await Refuse(context).ExecuteAsync(context);
    }

    public static Problem Refuse(HttpContext context)
    {
        context.Response.Headers.WWWAuthenticate = $"DPoP error=\"invalid_token\", error_description=\"signed out\", algs=\"{DPoPProof.Algorithm}\"";
        return Problem.Of(401, ErrorCode.SignedOut, "The sign-in that this workstation was registered with has ended, so it is given nothing more.",
            "On that machine, sign in again (tanvrit-compute auth login) and start the agent (tanvrit-compute agent run).");
    }

    private Task<bool> MayStayAsync(HttpContext context, Device device)
    {
        var allowed = context.GetEndpoint()?.Metadata.GetMetadata<DeviceRequirement>()?.WhenSignedOut ?? WhenSignedOut.Refused;
        if (allowed == WhenSignedOut.Refused) return Task.FromResult(false);
        return database.ReadAsync(async sql =>
            await leases.HoldsAnyAsync(sql, device.InstanceId, allowed == WhenSignedOut.HoldsAnyLease ? null : device.SessionId)
            || (allowed == WhenSignedOut.OwesOutput && context.Request.RouteValues["id"] is string stepId && await leases.OwesOutputAsync(sql, device.InstanceId, stepId)),
            context.RequestAborted);
    }
}
